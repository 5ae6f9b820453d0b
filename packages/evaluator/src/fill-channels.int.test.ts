import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  buildEvaluationGraph,
  evaluationInputs,
  evaluationOutputs,
  type HuggingFaceModel,
  openModel,
} from '@espalier/model-graph'
import { createRandomGenerator, type KeptIndices } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { createEvaluator } from './create-evaluator.js'
import { createPolicyFeeds } from './create-policy-feeds.js'
import type { CalibrationRecord } from './evaluator.js'

const fixture = (name: string) => fileURLToPath(new URL(`../../model-graph/fixtures/models/${name}`, import.meta.url))
const [windows, windowLength] = [2, 20] as const
/** Of 96 channels, around the multiples. */
const counts = [1, 7, 8, 9, 63, 64, 65, 95, 96]

interface Policy {
  readonly keptIndices: KeptIndices
  readonly calibration: CalibrationRecord | null
  /** Output weights, by module. */
  readonly fitted: ReadonlyMap<number, Float32Array>
}

const random = createRandomGenerator(5, 'policies')

/** Channels of every layer, one less in each that follows; of every second layer one group. */
function drawUnits({ shape, layers }: HuggingFaceModel, channels: number): KeptIndices {
  const draw = (units: number, count: number) => {
    const all = Array.from({ length: units }, (_, unit) => unit)
    while (all.length > Math.max(0, count)) all.splice(random.integer(all.length), 1)
    return all
  }
  return layers.flatMap((_, layer) => [
    draw(shape.kvHeads, layer % 2 === 0 ? shape.kvHeads : 1),
    draw(shape.ffnChannels, channels - layer),
  ])
}

/** Any weights in place of down_proj. */
function drawWeights({ shape }: HuggingFaceModel, kept: KeptIndices): Map<number, Float32Array> {
  const draw = (length: number) => Float32Array.from({ length }, () => 0.1 * random.normal())
  const modules = kept.map((units, module) => [module, draw(shape.hiddenSize * units.length)] as const)
  return new Map(modules.filter(([module]) => module % 2 === 1))
}

async function openSession(model: HuggingFaceModel, fillChannelsTo: number, profile?: string) {
  const graph = buildEvaluationGraph(model, { resumable: false, fillChannelsTo })
  return InferenceSession.create(graph, {
    ...{ intraOpNumThreads: 1, graphOptimizationLevel: 'basic' },
    ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
    extra: { session: { model_external_initializers_file_folder_path: model.directory } },
  })
}

/** Negative log-likelihoods of all tokens. */
async function measure(session: InferenceSession, model: HuggingFaceModel, ids: Int32Array, policy: Policy) {
  const tokens = new Tensor('int64', BigInt64Array.from(ids, BigInt), [windows, windowLength])
  const feeds = createPolicyFeeds(model.shape, policy.keptIndices, policy.calibration, policy.fitted)
  const outputs = await session.run({ ...feeds, [evaluationInputs.ids]: tokens }, [evaluationOutputs.nll])
  return Array.from(outputs[evaluationOutputs.nll]?.data as Float32Array)
}

/** Shapes of the matrices that all windows are multiplied with, as ONNX Runtime saw them. */
async function readWeightShapes(folder: string): Promise<number[][]> {
  const [file = ''] = await readdir(folder)
  const events: { args?: { op_name?: string; input_type_shape?: { float?: number[] }[] } }[] = JSON.parse(
    await readFile(join(folder, file), 'utf8'),
  )
  return events
    .filter(({ args }) => args?.op_name === 'FusedMatMul')
    .map(({ args }) => args?.input_type_shape?.[1]?.float ?? [])
    .filter(({ length }) => length === 2)
}

describe.each(['llama-biases', 'gemma2-caps'])('%s with channels filled up to a multiple', (name) => {
  it.each([8, 64])('of %i measures every policy as it is', async (multiple) => {
    const model = await openModel(fixture(name))
    const ids = Int32Array.from({ length: windows * windowLength }, () => random.integer(model.shape.vocabularySize))
    const evaluator = await createEvaluator({ modelDirectory: fixture(name), threads: 1 })
    const calibration = await evaluator.calibrate({ ids, windowLength, windows })
    await evaluator.close()
    const [exact, filled] = [await openSession(model, 1), await openSession(model, multiple)]
    const unfitted = new Map<number, Float32Array>()
    for (const keptIndices of counts.map((count) => drawUnits(model, count))) {
      const policies: Policy[] = [
        { keptIndices, calibration: null, fitted: unfitted },
        { keptIndices, calibration, fitted: unfitted },
        { keptIndices, calibration, fitted: drawWeights(model, keptIndices) },
      ]
      for (const policy of policies) {
        const wanted = await measure(exact, model, ids, policy)
        const found = await measure(filled, model, ids, policy)
        expect(Math.max(...wanted.map((value, token) => Math.abs(value - (found[token] ?? Number.NaN))))).toBeLessThan(
          1e-5,
        )
      }
    }
    await exact.release()
    await filled.release()
  })

  it('multiplies with no other widths', async () => {
    const model = await openModel(fixture(name))
    const { hiddenSize } = model.shape
    const folder = await mkdtemp(join(tmpdir(), 'espalier-profile-'))
    try {
      const session = await openSession(model, 8, join(folder, 'run'))
      const keptIndices = drawUnits(model, 10) // then 9, then 8
      const ids = Int32Array.from({ length: windows * windowLength }, (_, index) => index)
      await measure(session, model, ids, { keptIndices, calibration: null, fitted: new Map() })
      session.endProfiling()
      await session.release()
      const shapes = await readWeightShapes(folder)
      for (const width of [16, 8]) {
        expect(shapes).toContainEqual([width, hiddenSize])
        expect(shapes).toContainEqual([hiddenSize, width])
      }
      expect(shapes.flat().filter((width) => width % 8 !== 0)).toEqual([])
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
