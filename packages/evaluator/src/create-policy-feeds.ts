import type { ModelShape } from '@espalier/contracts'
import { evaluationInputs } from '@espalier/model-graph'
import type { KeptIndices } from '@espalier/pruning'
import { Tensor } from 'onnxruntime-node'
import { createInt64Tensor } from './create-int64-tensor.js'
import type { CalibrationRecord } from './evaluator.js'

/**
 * Inputs of the evaluation graph that say which policy it measures, and that it is compared with nothing, beside where it
 * goes on and what it gives.
 *
 * @param fitted by module, output weights in place of the model's, [hidden, input channels kept]
 */
export function createPolicyFeeds(
  shape: ModelShape,
  keptIndices: KeptIndices,
  calibration: CalibrationRecord | null,
  fitted: ReadonlyMap<number, Float32Array>,
): Record<string, Tensor> {
  const feeds = createCompensationFeeds(shape, calibration)
  feeds[evaluationInputs.referenceHidden] = new Tensor('float32', new Float32Array(), [0, shape.hiddenSize])
  for (let module = 0; module < 2 * shape.layers; module++) {
    const kept = keptIndices[module] ?? []
    feeds[evaluationInputs.kept(module)] = createInt64Tensor(kept, [kept.length])
    const weight = fitted.get(module) ?? new Float32Array()
    const dimensions = [shape.hiddenSize, weight.length / shape.hiddenSize]
    feeds[evaluationInputs.outputWeight(module)] = new Tensor('float32', weight, dimensions)
  }
  return feeds
}

/** What one run computes of a policy. */
export interface RunSteps {
  readonly firstModule: number
  /** [B, T, hidden] before the first module; null: the first module is 0. */
  readonly state: Tensor | null
  /** Modules whose states are given. */
  readonly wanted: Iterable<number>
}

/** Inputs of a resumable evaluation graph for a batch of ids, [B, T]. */
export function createStateFeeds(
  shape: ModelShape,
  batch: Tensor,
  { firstModule, state, wanted }: RunSteps,
): Record<string, Tensor> {
  const [windows = 0, windowLength = 0] = batch.dims
  const stateWindows = new BigInt64Array(2 * shape.layers)
  for (const module of wanted) stateWindows[module] = BigInt(windows)
  return {
    [evaluationInputs.firstModule]: new Tensor('int64', BigInt64Array.of(BigInt(firstModule)), []),
    [evaluationInputs.resumedState]:
      state ?? new Tensor('float32', new Float32Array(), [0, windowLength, shape.hiddenSize]),
    [evaluationInputs.stateWindows]: new Tensor('int64', stateWindows, [stateWindows.length]),
  }
}

/** The policy that keeps everything. */
export function allIndices(shape: ModelShape): KeptIndices {
  const unitsOf = (module: number) => (module % 2 === 0 ? shape.kvHeads : shape.ffnChannels)
  return Array.from({ length: 2 * shape.layers }, (_, module) =>
    Array.from({ length: unitsOf(module) }, (_, unit) => unit),
  )
}

/** Zeros switch compensation off. */
function createCompensationFeeds(shape: ModelShape, calibration: CalibrationRecord | null): Record<string, Tensor> {
  const modules = calibration?.modules ?? []
  const stack = (rows: readonly Float64Array[], count: number, width: number) => {
    const data = new Float32Array(count * width)
    for (const [index, row] of rows.entries()) data.set(row, index * width)
    return new Tensor('float32', data, [count, width])
  }
  const means = modules.map(({ sum, count }) => sum.map((value) => value / count))
  const ofKind = (remainder: number) => means.filter((_, module) => module % 2 === remainder)
  return {
    [evaluationInputs.attentionMeans]: stack(ofKind(0), shape.layers, shape.queryHeads * shape.headDim),
    [evaluationInputs.ffnMeans]: stack(ofKind(1), shape.layers, shape.ffnChannels),
    [evaluationInputs.outputMeans]: stack(
      modules.map(({ outputMean }) => outputMean),
      2 * shape.layers,
      shape.hiddenSize,
    ),
  }
}
