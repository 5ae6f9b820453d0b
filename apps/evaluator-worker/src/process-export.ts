import { rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { EspalierError, type ExportFormat, type ExportResult, methodOf } from '@espalier/contracts'
import { createEvaluator, type Measurement, type MeasureRequest, measureLogitsModel } from '@espalier/evaluator'
import { openModel } from '@espalier/model-graph'
import { pinModelSource } from '@espalier/model-hub'
import { type PrunedModel, type PruningRequest, writeCompactOnnx, writeHuggingFace } from '@espalier/pruned-model'
import { selectKeptIndices } from '@espalier/pruning'
import type { Lease } from '@espalier/store'
import type { EvaluatorContext, StepContext } from './evaluator-context.js'
import { locateModel } from './locate-sources.js'
import { findPreparedModel } from './prepared-model.js'
import type { SearchData } from './search-data.js'
import type { WarmModel } from './warm-model.js'

/** Writes a policy as files, and how the written files are loaded again and measured. */
interface Exporter {
  readonly write: (request: PruningRequest) => Promise<PrunedModel>
  readonly measure: (context: EvaluatorContext, directory: string, windows: Windows) => Promise<Measurement>
}

interface Windows {
  readonly ids: Int32Array
  readonly windowLength: number
  readonly windows: number
  readonly signal: AbortSignal
}

const exporters: Record<ExportFormat, Exporter> = {
  onnx: {
    write: writeCompactOnnx,
    measure: (context, directory, windows) =>
      measureLogitsModel({ path: join(directory, 'model.onnx'), threads: context.countThreads(), ...windows }),
  },
  huggingface: { write: writeHuggingFace, measure: measureDense },
}

/**
 * Largest relative difference of log-perplexity between a file and its policy. Compact ONNX computes the same in
 * float32; the biases of a Hugging Face folder are rounded to the precision of its weights.
 */
const tolerance = { F32: 2e-5, F16: 5e-4, BF16: 4e-3 }

/** Writes a pruned model, loads it again, measures it, and fails when it is not the policy it should be. */
export async function processExport(context: EvaluatorContext, lease: Lease<'export'>, step: StepContext) {
  const started = performance.now()
  const { payload } = lease
  const modelDirectory = await locateModel(context, lease, step)
  const warm = await context.models.get(modelDirectory, await findPreparedModel(context.store, lease))
  const data = await context.searchData.read(lease, warm.prunable)
  const target = lease.settings.targets[payload.targetIndex] ?? 0
  const name = typeof target === 'number' ? `sparsity-${Math.round(100 * target)}` : target.resource
  const relative = join('exports', lease.searchId, `${name}-${payload.targetIndex}`, payload.format)
  // a worker that lost its lease may still be writing: each claim has a folder of its own until it is measured
  const directory = await context.artifacts.directory(`${relative}.${lease.fencingToken}`)

  const exporter = exporters[payload.format]
  const written = await exporter.write(requestOf(lease, warm, data, directory))
  const windows: Windows = {
    ids: await data.idsOf('validation'),
    windowLength: lease.settings.windowLength,
    windows: payload.windows,
    signal: step.signal,
  }
  const measured = await exporter.measure(context, directory, windows)
  const expected = await expectedLogPerplexity(context, lease, warm, data, written, windows)
  const precision = payload.format === 'onnx' ? 'F32' : warm.model.embedding.dtype
  checkMeasured(directory, measured.logPerplexity, expected, tolerance[precision])
  await replaceFolder(directory, await context.artifacts.directory(relative))

  const result: ExportResult = {
    directory: relative,
    files: [...written.files],
    parameters: written.parameters,
    compensationWritten: written.compensationWritten,
    note: written.note,
    perplexity: measured.perplexity,
    expectedPerplexity: Math.exp(expected),
    seconds: (performance.now() - started) / 1000,
  }
  return { result, effects: {} }
}

async function replaceFolder(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true })
  await rename(from, to)
}

function requestOf(lease: Lease<'export'>, warm: WarmModel, data: SearchData, directory: string): PruningRequest {
  const { payload, settings } = lease
  const { report } = payload
  const method = methodOf(lease)
  const testWindows = Math.min(data.prepared.splits.test.windows, settings.finalWindows ?? Number.POSITIVE_INFINITY)
  return {
    model: warm.model,
    modelHash: warm.hash,
    keptIndices: selectKeptIndices(data.rankingsBy(method.metric), payload.keptUnits),
    ...method,
    calibration: data.calibration.modules,
    directory,
    report: {
      modelName: nameOf(lease),
      sparsity: payload.sparsity,
      densePerplexity: report.denseTestPerplexity,
      uniformPerplexity: report.uniformTestPerplexity,
      policyPerplexity: report.testPerplexity,
      validationPerplexity: report.validationPerplexity,
      protocol: {
        windowLength: settings.windowLength,
        calibrationWindows: settings.calibrationWindows,
        validationWindows: payload.windows,
        testWindows,
      },
    },
  }
}

function nameOf({ model }: Lease): string {
  return model.path === null ? pinModelSource(model.source, model.revision) : basename(model.path)
}

/**
 * The policy's own log-perplexity; without compensation where the format cannot hold it. Files are measured in float32,
 * so a policy that was measured in another precision is measured in that again.
 */
async function expectedLogPerplexity(
  context: EvaluatorContext,
  lease: Lease<'export'>,
  warm: WarmModel,
  data: SearchData,
  written: PrunedModel,
  windows: Windows,
): Promise<number> {
  const { payload } = lease
  const { metric, compensation } = methodOf(lease)
  const isFloat32 = warm.evaluator.precision === 'fp32'
  const asMeasured = written.compensationWritten || compensation === 'none'
  if (isFloat32 && asMeasured) return payload.logPerplexity
  const request = {
    keptIndices: selectKeptIndices(data.rankingsBy(metric), payload.keptUnits),
    calibration: asMeasured ? data.calibration : null,
    ...{ compensation, metric, ...windows },
  }
  const measured = isFloat32 ? warm.evaluator.measure(request) : measureOnCpu(context, warm.model.directory, request)
  return (await measured).logPerplexity
}

/** A Hugging Face folder is opened as a stranger's would be, and measured without any policy. */
async function measureDense(context: EvaluatorContext, directory: string, windows: Windows): Promise<Measurement> {
  await openModel(directory)
  return measureOnCpu(context, directory, { keptIndices: null, calibration: null, ...windows })
}

/** In float32, by an evaluator of its own. */
async function measureOnCpu(
  context: EvaluatorContext,
  modelDirectory: string,
  request: MeasureRequest,
): Promise<Measurement> {
  const evaluator = await createEvaluator({ modelDirectory, threads: context.countThreads() })
  try {
    return await evaluator.measure(request)
  } finally {
    await evaluator.close()
  }
}

function checkMeasured(directory: string, measured: number, expected: number, allowed: number): void {
  const difference = Math.abs(measured - expected) / Math.abs(expected)
  if (difference <= allowed) return
  throw new EspalierError(
    'EXPORT_MISMATCH',
    `The pruned model in ${directory} has log-perplexity ${measured}, its policy ${expected}; ` +
      `they differ by ${difference.toExponential(1)} where ${allowed} is allowed`,
    { directory, measured, expected, allowed },
  )
}
