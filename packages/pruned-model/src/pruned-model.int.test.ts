/** Written models are loaded again, and must give what Hugging Face transformers gave for the policy. */
import { createHash } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Compensation, policyFileSchema } from '@espalier/contracts'
import { type CalibrationRecord, createEvaluator, measureLogitsModel } from '@espalier/evaluator'
import { hashModel, openModel } from '@espalier/model-graph'
import {
  createPrunableModel,
  keptUnitsOf,
  rankModules,
  resolvePolicyFile,
  selectKeptIndices,
  sparsityOf,
} from '@espalier/pruning'
import { openSafetensors } from '@espalier/tensor-files'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import type { PruningRequest } from './pruning-request.js'
import { writeCompactOnnx } from './write-compact-onnx.js'
import { writeHuggingFace } from './write-hugging-face.js'

const repository = fileURLToPath(new URL('../../../', import.meta.url))
const fixtures = join(repository, 'packages/model-graph/fixtures')

interface ReferenceCase {
  name: string
  compensation: Compensation
  keepGroups: number[][]
  keepChannels: number[][]
  nll: number[]
}
interface Reference {
  windowLength: number
  ids: number[]
  calibrationIds: number[]
  cases: ReferenceCase[]
}

const readJson = async (...path: string[]) => JSON.parse(await readFile(join(...path), 'utf8'))

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'espalier-pruned-'))
})
afterAll(() => rm(scratch, { recursive: true }))

async function calibrate(directory: string, ids: readonly number[], windowLength: number): Promise<CalibrationRecord> {
  const evaluator = await createEvaluator({ modelDirectory: directory, threads: 1 })
  const windows = Math.floor(ids.length / windowLength)
  const record = await evaluator.calibrate({ ids: Int32Array.from(ids), windowLength, windows, gram: true })
  await evaluator.close()
  return record
}

async function measureFolder(directory: string, tokens: { ids: Int32Array; windowLength: number; windows: number }) {
  const evaluator = await createEvaluator({ modelDirectory: directory, threads: 1 })
  const measured = await evaluator.measure({ ...tokens, keptIndices: null, calibration: null })
  await evaluator.close()
  return measured
}

const report: PruningRequest['report'] = {
  modelName: 'tiny',
  sparsity: 0.25,
  densePerplexity: 20,
  uniformPerplexity: 30.5,
  policyPerplexity: 25.123456,
  validationPerplexity: null,
  protocol: { windowLength: 48, calibrationWindows: 4, validationWindows: null, testWindows: 3 },
}

async function requestFor(
  directory: string,
  { keepGroups, keepChannels, compensation }: ReferenceCase,
  calibration: CalibrationRecord,
): Promise<PruningRequest> {
  const model = await openModel(directory)
  return {
    model,
    modelHash: await hashModel(model),
    keptIndices: keepGroups.flatMap((groups, layer) => [groups, keepChannels[layer] ?? []]),
    metric: 'wanda',
    compensation,
    calibration: calibration.modules,
    directory: await mkdtemp(join(scratch, 'out-')),
    report,
  }
}

function expectClose(found: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(found).toHaveLength(expected.length)
  const worst = Math.max(...found.map((value, i) => Math.abs(value - (expected[i] ?? 0)) / (expected[i] ?? 1)))
  expect(worst).toBeLessThan(tolerance)
}

/** One with units removed everywhere, one with whole modules removed; what else there is, is like these. */
const isChosen = ({ name, compensation }: ReferenceCase) =>
  compensation === 'mean' && (name.startsWith('random-0') || name === 'blocks-gone')

/** Architectures whose config.json can announce biases on o_proj and on down_proj. */
const canCompensate = (name: string) => name.startsWith('llama')

describe.each([
  'llama-gqa',
  'llama-tied',
  'llama-rope3',
  'llama-32-heads',
  'llama-biases',
  'mistral',
  'mistral-window',
  'qwen2',
  'qwen2-window',
  'qwen3',
  'phi3',
  'phi3-shards',
  'gemma2',
  'gemma2-caps',
  'gemma3',
  'gemma3-linear',
])('%s', (name) => {
  const directory = join(fixtures, 'models', name)
  let reference: Reference
  let calibration: CalibrationRecord
  let tokens: { ids: Int32Array; windowLength: number; windows: number }
  beforeAll(async () => {
    reference = await readJson(fixtures, 'reference', `${name}.json`)
    const { ids, windowLength } = reference
    calibration = await calibrate(directory, reference.calibrationIds, windowLength)
    tokens = { ids: Int32Array.from(ids), windowLength, windows: ids.length / windowLength }
  })

  it('as compact ONNX gives what transformers gives', async () => {
    const bare = reference.cases.filter(({ name: caseName }) => name === 'llama-biases' && caseName === 'all-gone')
    for (const testCase of [...reference.cases.filter(isChosen), ...bare]) {
      const request = await requestFor(directory, testCase, calibration)
      const written = await writeCompactOnnx(request)
      expect(written).toMatchObject({ compensationWritten: testCase.compensation === 'mean', note: null })
      const path = join(request.directory, 'model.onnx')
      const { nll } = await measureLogitsModel({ path, ...tokens, threads: 1 })
      expectClose(nll, testCase.nll, 1e-5)
    }
  })

  it('in Hugging Face format gives what transformers gives, as far as its biases allow', async () => {
    const without = new Map(
      reference.cases.filter(({ compensation }) => compensation === 'none').map((plain) => [plain.name, plain]),
    )
    for (const testCase of reference.cases.filter(isChosen)) {
      const request = await requestFor(directory, testCase, calibration)
      const written = await writeHuggingFace(request)
      const isWritten = canCompensate(name)
      expect(written.compensationWritten).toBe(isWritten)
      expect(written.note === null).toBe(isWritten)
      const { nll } = await measureFolder(request.directory, tokens)
      const expected = isWritten ? testCase.nll : (without.get(testCase.name)?.nll ?? [])
      // Biases have the precision of the model's weights: 8 bits in bfloat16.
      expectClose(nll, expected, isWritten && name === 'llama-biases' ? 2e-3 : 1e-5)
    }
  })
})

// llama-biases has bfloat16 weights and biases of its own, mistral no place for biases in its Hugging Face format.
it.each(['llama-gqa', 'llama-biases', 'mistral'])(
  '%s: least squares in the files is what was measured',
  async (name) => {
    const directory = join(fixtures, 'models', name)
    const { ids, windowLength, calibrationIds, cases }: Reference = await readJson(
      fixtures,
      'reference',
      `${name}.json`,
    )
    const tokens = { ids: Int32Array.from(ids), windowLength, windows: ids.length / windowLength }
    const calibration = await calibrate(directory, calibrationIds, windowLength)
    const evaluator = await createEvaluator({ modelDirectory: directory, threads: 1 })
    const write = async (testCase: ReferenceCase, how: typeof writeCompactOnnx) => {
      const request = await requestFor(directory, testCase, calibration)
      const written = await how(request)
      const policy = policyFileSchema.parse(await readJson(request.directory, 'policy.json'))
      expect(policy.compensation).toBe(written.compensationWritten ? 'least-squares' : 'none')
      return { ...request, written }
    }
    for (const chosen of cases.filter(isChosen)) {
      const testCase = { ...chosen, compensation: 'least-squares' as const }
      const compact = await write(testCase, writeCompactOnnx)
      const { keptIndices } = compact
      const measured = await evaluator.measure({ ...tokens, keptIndices, calibration, compensation: 'least-squares' })
      const byMean = await evaluator.measure({ ...tokens, keptIndices, calibration })
      // Modules that are whole or gone have nothing to fit; elsewhere one compensation must differ from the other.
      const difference = Math.abs(measured.logPerplexity / byMean.logPerplexity - 1)
      if (chosen.name !== 'blocks-gone') expect(difference).toBeGreaterThan(1e-4)
      const path = join(compact.directory, 'model.onnx')
      expectClose((await measureLogitsModel({ path, ...tokens, threads: 1 })).nll, measured.nll, 1e-5)

      const folder = await write(testCase, writeHuggingFace)
      expect(folder.written.compensationWritten).toBe(canCompensate(name))
      const bare = await evaluator.measure({ ...tokens, keptIndices, calibration: null })
      const expected = canCompensate(name) ? measured : bare
      const { nll } = await measureFolder(folder.directory, tokens)
      expectClose(nll, expected.nll, name === 'llama-biases' ? 2e-3 : 1e-5)
    }
    await evaluator.close()
  },
)

it('writes compensation of qwen3 when only attention needs it, which is where its config has biases', async () => {
  const directory = join(fixtures, 'models/qwen3')
  const { ids, windowLength, calibrationIds }: Reference = await readJson(fixtures, 'reference/qwen3.json')
  const tokens = { ids: Int32Array.from(ids), windowLength, windows: ids.length / windowLength }
  const calibration = await calibrate(directory, calibrationIds, windowLength)
  const channels = Array.from({ length: 96 }, (_, channel) => channel)
  const policy = { name: '', compensation: 'mean' as const, keepGroups: [[1], [0, 1], []], nll: [] }
  const request = await requestFor(directory, { ...policy, keepChannels: [channels, channels, channels] }, calibration)
  expect(await writeHuggingFace(request)).toMatchObject({ compensationWritten: true, note: null })
  const evaluator = await createEvaluator({ modelDirectory: directory, threads: 1 })
  const { nll } = await evaluator.measure({ ...tokens, keptIndices: request.keptIndices, calibration })
  await evaluator.close()
  expectClose((await measureFolder(request.directory, tokens)).nll, nll, 1e-6)
})

describe('what lies beside the weights', () => {
  const directory = join(repository, 'models/demo')
  let request: PruningRequest
  beforeAll(async () => {
    const demo = await readJson(fixtures, 'reference', 'demo.json')
    const model = await openModel(directory)
    const prunable = createPrunableModel(model.shape)
    // Any statistics do: nothing here depends on what they are.
    const statistics = prunable.modules.map(({ kind }) => {
      const inputs = kind === 'attention' ? 192 : 512
      const sum = Float64Array.from({ length: inputs }, (_, i) => Math.sin(i))
      return {
        count: 100,
        sum,
        sumOfSquares: sum.map((x) => 1 + x * x),
        columnAbsoluteMean: sum.map(Math.abs),
        columnSquareSum: sum.map((x) => x * x),
      }
    })
    const kept = demo.cases[2].keep.flatMap((layer: { kvGroups: number; ffnChannels: number }) => [
      layer.kvGroups,
      layer.ffnChannels,
    ])
    request = {
      model,
      modelHash: await hashModel(model),
      keptIndices: selectKeptIndices(rankModules('wanda', statistics, prunable), kept),
      metric: 'wanda',
      compensation: 'mean',
      calibration: statistics,
      directory: await mkdtemp(join(scratch, 'demo-')),
      report,
    }
  })

  it.each([
    ['onnx', writeCompactOnnx],
    ['huggingface', writeHuggingFace],
  ])('%s: every file is listed with its hash, and the policy file is the policy', async (_, write) => {
    const target = await mkdtemp(join(scratch, 'demo-'))
    const written = await write({ ...request, directory: target })
    expect(written.files.map(({ name }) => name).sort()).toEqual((await readdir(target)).sort())
    for (const { name, bytes, sha256 } of written.files) {
      const content = await readFile(join(target, name))
      expect(content.byteLength).toBe(bytes)
      expect(createHash('sha256').update(content).digest('hex')).toBe(sha256)
    }
    const policy = policyFileSchema.parse(await readJson(target, 'policy.json'))
    const prunable = createPrunableModel(request.model.shape)
    const resolved = resolvePolicyFile(policy, prunable, null, request.modelHash)
    expect(resolved.keptIndices).toEqual(request.keptIndices)
    expect(policy.compensation).toBe('mean')
    const readme = await readFile(join(target, 'README.md'), 'utf8')
    for (const number of ['20.0000', '30.5000', '25.1235', '25.00 %', 'windows of 48 tokens', 'not measured']) {
      expect(readme).toContain(number)
    }
    const removed = sparsityOf(prunable, keptUnitsOf(request.keptIndices)) * prunable.prunableParameters
    const biases = 192 * request.keptIndices.filter((kept, m) => kept.length < (prunable.modules[m]?.units ?? 0)).length
    expect(written.parameters).toBe(Math.round(request.model.shape.parameters - removed) + biases)
  })

  it('keeps precision, shapes and tokenizer, and lets config.json announce the biases', async () => {
    const target = await mkdtemp(join(scratch, 'demo-'))
    await writeHuggingFace({ ...request, directory: target })
    const config = await readFile(join(target, 'config.json'), 'utf8')
    expect(JSON.parse(config)).toEqual({ ...request.model.config.raw, attention_bias: true, mlp_bias: true })
    expect(config).toContain('"rope_theta": 10000.0')
    expect(await readFile(join(target, 'tokenizer.json'))).toEqual(await readFile(join(directory, 'tokenizer.json')))
    const file = await openSafetensors(join(target, 'model.safetensors'))
    expect(file.metadata.format).toBe('pt')
    expect(new Set([...file.tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(['F16']))
    const down = await file.readFloat32('model.layers.0.mlp.down_proj.weight')
    const kept = new Set(request.keptIndices[1])
    expect(down.every((value, i) => kept.has(i % 512) || value === 0)).toBe(true)
    await file.close()
  })

  it('writes the same bytes when it is done twice', async () => {
    const hashes = async () => (await writeCompactOnnx(request)).files.map(({ sha256 }) => sha256)
    expect(await hashes()).toEqual(await hashes())
  })

  it('is half as large as ONNX when half of it is removed', async () => {
    const half = request.keptIndices.map((_, m) => Array.from({ length: m % 2 === 0 ? 1 : 100 }, (_, i) => i))
    const target = await mkdtemp(join(scratch, 'half-'))
    const written = await writeCompactOnnx({ ...request, keptIndices: half, directory: target })
    const weights = written.files.find(({ name }) => name === 'model.onnx.safetensors')
    // Two bytes a parameter, four for the biases of 16 modules, and the header.
    expect(weights?.bytes).toBeLessThan(2 * written.parameters + 2 * 16 * 192 + 12_000)
  })
})
