import { createPrunableModel, nameOfModule } from '@espalier/pruning'
import { isCompensated, type PrunedModel, type PruningRequest } from './pruning-request.js'

export type PrunedFormat = 'onnx' | 'huggingface'

/** README.md of a pruned model: its numbers, the protocol they were measured by, and how to load it. */
export function describePrunedModel(
  request: PruningRequest,
  format: PrunedFormat,
  written: Omit<PrunedModel, 'files'>,
): string {
  return [
    `# ${request.report.modelName}, pruned`,
    describeContent(request, format, written),
    '## Numbers',
    tabulateNumbers(request, written),
    describeProtocol(request),
    '## Loading',
    loadingExamples[format],
    '## Units kept',
    tabulateUnits(request),
    '',
  ].join('\n\n')
}

const precision = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
} as const

function describeContent(request: PruningRequest, format: PrunedFormat, written: Omit<PrunedModel, 'files'>): string {
  const { model, modelHash, metric, compensation } = request
  const what = {
    onnx: 'Only the kept weights are here (`model.onnx`, weights in `model.onnx.safetensors`); arithmetic is float32.',
    huggingface:
      'Removed units are zeros, so shapes, files and speed are those of the original, and every loader of the original loads it.',
  }[format]
  const dtype = precision[model.layers[0]?.o.dtype ?? model.embedding.dtype]
  const fitted = 'The kept columns of o_proj and down_proj were fitted anew by least squares. '
  const biases = {
    onnx: 'The mean output of removed units is added as float32 biases.',
    huggingface: `The mean output of removed units is added as biases of o_proj and down_proj, in ${dtype} as the weights.`,
  }[format]
  return [
    `Made by Espalier from the model with SHA-256 ${modelHash}.`,
    what,
    `Units were ranked by \`${metric}\`.`,
    ...(written.compensationWritten ? [`${compensation === 'least-squares' ? fitted : ''}${biases}`] : []),
    ...(isCompensated(request) && written.note !== null
      ? [`No compensation: ${written.note}; the perplexities below are the policy's with it.`]
      : []),
    '`policy.json` names the kept units.',
  ].join(' ')
}

function tabulateNumbers({ report, model }: PruningRequest, { parameters }: Omit<PrunedModel, 'files'>): string {
  const share = (100 * report.sparsity).toFixed(2)
  const rows: readonly (readonly [string, string])[] = [
    ['sparsity (share of the weights of q, k, v, o, gate, up, down removed)', `${share} %`],
    ['parameters left', `${format(parameters)} of ${format(model.shape.parameters)}`],
    ['perplexity, test, dense', showPerplexity(report.densePerplexity)],
    ['perplexity, test, uniform pruning at the same sparsity', showPerplexity(report.uniformPerplexity)],
    ['perplexity, test, this policy', showPerplexity(report.policyPerplexity)],
    ['perplexity, validation, this policy', showPerplexity(report.validationPerplexity)],
  ]
  return ['| | |', '| --- | --- |', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n')
}

const format = (count: number) => count.toLocaleString('en-US')

const showPerplexity = (perplexity: number | null) => perplexity?.toPrecision(6) ?? 'not measured'

function describeProtocol({ report: { protocol } }: PruningRequest): string {
  const { windowLength, calibrationWindows, validationWindows, testWindows } = protocol
  const windows = [
    ...(calibrationWindows === null ? [] : [`calibration ${calibrationWindows}`]),
    ...(validationWindows === null ? [] : [`validation ${validationWindows}`]),
    ...(testWindows === null ? [] : [`test ${testWindows}`]),
  ]
  return [
    `Protocol: the whole text tokenised without special tokens, cut into non-overlapping windows of ${windowLength} tokens, the rest dropped;`,
    `perplexity = exp(sum of the ${windowLength - 1} next-token negative log-likelihoods of every window / (windows x ${windowLength - 1})).`,
    ...(windows.length === 0 ? [] : [`Windows: ${windows.join(', ')}.`]),
    'Weights as stored, arithmetic in float32.',
  ].join(' ')
}

const loadingExamples = {
  onnx: [
    '```python',
    'import numpy, onnxruntime',
    '',
    'session = onnxruntime.InferenceSession("model.onnx")',
    'logits = session.run(["logits"], {"input_ids": numpy.array([[1, 2, 3]], dtype=numpy.int64)})[0]',
    '```',
    '',
    'Standard ONNX operators (opset 17) only. `input_ids` is [batch, sequence], `logits` [batch, sequence, vocabulary].',
  ].join('\n'),
  huggingface: [
    '```python',
    'from transformers import AutoModelForCausalLM',
    '',
    'model = AutoModelForCausalLM.from_pretrained(".", dtype="float32")',
    '```',
  ].join('\n'),
} as const satisfies Record<PrunedFormat, string>

function tabulateUnits({ model, keptIndices }: PruningRequest): string {
  const rows = createPrunableModel(model.shape).modules.map((module) => {
    const unit = module.kind === 'attention' ? 'KV groups' : 'channels'
    return `| ${nameOfModule(module)} | ${keptIndices[module.index]?.length ?? 0} of ${module.units} ${unit} |`
  })
  return ['| module | kept |', '| --- | --- |', ...rows].join('\n')
}
