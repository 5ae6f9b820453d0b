import type { ModelShape } from '@espalier/contracts'
import { evaluationInputs } from '@espalier/model-graph'
import type { KeptIndices } from '@espalier/pruning'
import { Tensor } from 'onnxruntime-node'
import type { CalibrationRecord } from './evaluator.js'

/**
 * Inputs of the evaluation graph that say which policy it measures, and that it is compared with nothing.
 *
 * @param fitted by module, output weights in place of the model's, [hidden, input channels kept]
 */
export function createPolicyFeeds(
  shape: ModelShape,
  keptIndices: KeptIndices | null,
  calibration: CalibrationRecord | null,
  fitted: ReadonlyMap<number, Float32Array>,
): Record<string, Tensor> {
  const feeds = createCompensationFeeds(shape, calibration)
  feeds[evaluationInputs.referenceHidden] = new Tensor('float32', new Float32Array(), [0, shape.hiddenSize])
  const unitsOf = (module: number) => (module % 2 === 0 ? shape.kvHeads : shape.ffnChannels)
  for (let module = 0; module < 2 * shape.layers; module++) {
    const kept = keptIndices?.[module] ?? Array.from({ length: unitsOf(module) }, (_, unit) => unit)
    feeds[evaluationInputs.kept(module)] = new Tensor('int64', BigInt64Array.from(kept, BigInt), [kept.length])
    const weight = fitted.get(module) ?? new Float32Array()
    const dimensions = [shape.hiddenSize, weight.length / shape.hiddenSize]
    feeds[evaluationInputs.outputWeight(module)] = new Tensor('float32', weight, dimensions)
  }
  return feeds
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
