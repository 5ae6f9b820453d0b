import { buildCalibrationGraph, calibrationOutputs, type HuggingFaceModel } from '@espalier/model-graph'
import { packedLength } from '@espalier/pruning'
import { createSharedFloat64 } from './calibration-file.js'
import { checkWindows } from './check-request.js'
import { createSession, locateWeights, type SessionSettings } from './create-session.js'
import type { CalibrateRequest, CalibrationRecord, ModuleCalibration, RunOptions } from './evaluator.js'
import { explainNotFinite } from './explain-not-finite.js'
import type { FittingBatch } from './fit-batch.js'
import { checkGramMemory } from './gram-memory.js'
import { type CallControl, dataOf, defaultBatchWindows, findNotFinite, runWindows } from './run-windows.js'

/** Runs the dense model over the windows and records every module's statistics. Errors: see `Evaluator.calibrate`. */
export async function calibrateModel(
  model: HuggingFaceModel,
  batch: FittingBatch,
  settings: SessionSettings,
  tokens: Omit<CalibrateRequest, keyof RunOptions>,
  batchWindows: number | null,
  control: CallControl,
): Promise<CalibrationRecord> {
  checkWindows(tokens, model.shape)
  const gram = tokens.gram ?? false
  if (gram) checkGramMemory(model.shape)
  const graph = buildCalibrationGraph(model, { locate: await locateWeights(model), gram })
  const session = await createSession(graph, { ...settings, optimize: false })
  const wanted = Math.min(tokens.windows, batchWindows ?? defaultBatchWindows(tokens.windowLength))
  const { totals, grams } = await batch
    .run(tokens.windowLength, wanted, async (size) => {
      const totals = new Map<string, Float64Array>()
      const grams = gram ? createGrams(model) : []
      await runWindows(tokens, size, control, async (ids) => {
        const outputs = await session.run({ input_ids: ids })
        for (const name of sumNames) addTo(totals, name, dataOf(outputs, name, 'float64'))
        for (const [module, total] of grams.entries()) {
          addLowerTriangle(total, dataOf(outputs, calibrationOutputs.gram(module), 'float64'))
        }
      })
      return { totals, grams }
    })
    .finally(() => session.release())
  const modules: ModuleCalibration[] = []
  for (let module = 0; module < 2 * model.shape.layers; module++) {
    const described = await describeModule(model, totals, module, tokens.windows * tokens.windowLength)
    await refuseNotFinite(model, module, described)
    modules.push({ ...described, gram: grams[module] ?? null })
  }
  return { modules, windows: tokens.windows, windowLength: tokens.windowLength }
}

async function refuseNotFinite(
  model: HuggingFaceModel,
  module: number,
  calibration: Omit<ModuleCalibration, 'gram'>,
): Promise<void> {
  const place = `layer ${module >> 1}, ${module % 2 === 0 ? 'attention' : 'feed-forward'}`
  for (const [name, values] of Object.entries(calibration)) {
    if (typeof values === 'number') continue
    const bad = findNotFinite(values)
    if (bad !== null) throw await explainNotFinite(model, `${place}: ${name} of channel ${bad} is ${values[bad]}`)
  }
}

const { attentionSums, attentionSquareSums, ffnSums, ffnSquareSums } = calibrationOutputs
const sumNames = [attentionSums, attentionSquareSums, ffnSums, ffnSquareSums]

/** One packed lower triangle of zeros a module. */
function createGrams({ layers, shape }: HuggingFaceModel): Float64Array[] {
  const widths = layers.flatMap(() => [shape.queryHeads * shape.headDim, shape.ffnChannels])
  return widths.map((width) => createSharedFloat64(packedLength(width)))
}

/** Adds the lower triangle of a symmetric matrix of row length `width` to its packed rows. */
function addLowerTriangle(total: Float64Array, matrix: Float64Array): void {
  const width = Math.sqrt(matrix.length)
  for (let row = 0, at = 0; row < width; row++) {
    for (let column = 0; column <= row; column++, at++) {
      total[at] = (total[at] as number) + (matrix[row * width + column] as number)
    }
  }
}

function addTo(totals: Map<string, Float64Array>, name: string, values: Float64Array): void {
  const total = totals.get(name)
  if (total === undefined) totals.set(name, Float64Array.from(values))
  else
    values.forEach((value, index) => {
      total[index] = (total[index] ?? 0) + value
    })
}

async function describeModule(
  model: HuggingFaceModel,
  totals: ReadonlyMap<string, Float64Array>,
  module: number,
  count: number,
): Promise<Omit<ModuleCalibration, 'gram'>> {
  const layer = module >> 1
  const isAttention = module % 2 === 0
  const tensors = model.layers[layer]
  const weight = isAttention ? tensors?.o : tensors?.down
  if (weight === undefined) throw new RangeError(`The model has no layer ${layer}`)
  const [hidden = 0, inputs = 0] = weight.shape
  const rowOf = (name: string) => (totals.get(name) ?? new Float64Array()).slice(layer * inputs, (layer + 1) * inputs)
  const sum = rowOf(isAttention ? attentionSums : ffnSums)
  const sumOfSquares = rowOf(isAttention ? attentionSquareSums : ffnSquareSums)
  const mean = sum.map((value) => value / count)
  return { count, sum, sumOfSquares, ...describeWeight(await model.readFloat32(weight), hidden, mean) }
}

/** Column statistics of W [hidden, inputs] and W mean, in float64. */
function describeWeight(weight: Float32Array, hidden: number, mean: Float64Array) {
  const inputs = mean.length
  const columnAbsoluteMean = new Float64Array(inputs)
  const columnSquareSum = new Float64Array(inputs)
  const outputMean = new Float64Array(hidden)
  for (let row = 0; row < hidden; row++) {
    let output = 0
    for (let column = 0; column < inputs; column++) {
      const value = weight[row * inputs + column] ?? 0
      columnAbsoluteMean[column] = (columnAbsoluteMean[column] ?? 0) + Math.abs(value) / hidden
      columnSquareSum[column] = (columnSquareSum[column] ?? 0) + value * value
      output += value * (mean[column] ?? 0)
    }
    outputMean[row] = output
  }
  return { columnAbsoluteMean, columnSquareSum, outputMean }
}
