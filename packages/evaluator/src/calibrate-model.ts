import { buildCalibrationGraph, calibrationOutputs, type HuggingFaceModel } from '@espalier/model-graph'
import { checkElimination } from '@espalier/pruning'
import { checkWindows } from './check-request.js'
import { createSession, locateWeights, type SessionSettings } from './create-session.js'
import { eliminateUnits } from './eliminate-units.js'
import type { CalibrateRequest, CalibrationRecord, ModuleCalibration, RunOptions, WindowedTokens } from './evaluator.js'
import { explainNotFinite } from './explain-not-finite.js'
import type { FittingBatch } from './fit-batch.js'
import { createGramRecorder, type GramRecorder } from './record-grams.js'
import { type CallControl, dataOf, defaultBatchWindows, findNotFinite, runWindows } from './run-windows.js'

export interface GramSettings {
  readonly gramMemoryBytes: number
  readonly scratchDirectory: string
}

/**
 * Runs the dense model over the windows and records every module's statistics; more than once where the Gram matrices
 * are large. Errors: see `Evaluator.calibrate`.
 */
export async function calibrateModel(
  model: HuggingFaceModel,
  batch: FittingBatch,
  settings: SessionSettings & GramSettings,
  tokens: Omit<CalibrateRequest, keyof RunOptions>,
  batchWindows: number | null,
  control: CallControl,
): Promise<CalibrationRecord> {
  checkWindows(tokens, model.shape)
  if (tokens.elimination) checkElimination(model.shape)
  const recorder = await createGramRecorder(model.shape, {
    wanted: tokens.gram ?? false,
    memoryBytes: settings.gramMemoryBytes,
    directory: settings.scratchDirectory,
  })
  try {
    let totals: ReadonlyMap<string, Float64Array> = new Map()
    for (const pass of recorder.passes.keys()) {
      totals = await runPass(model, batch, settings, tokens, batchWindows, control, recorder, pass)
    }
    const modules: ModuleCalibration[] = []
    for (let module = 0; module < 2 * model.shape.layers; module++) {
      const described = await describeModule(model, totals, module, tokens.windows * tokens.windowLength)
      await refuseNotFinite(model, module, described)
      modules.push({ ...described, gram: recorder.grams[module] ?? null })
    }
    const errors = tokens.elimination ? await eliminateUnits(model, modules, control) : []
    const { scratchFile } = recorder
    const complete = modules.map((module, index) => ({ ...module, eliminationErrors: errors[index] }))
    const record = { modules: complete, windows: tokens.windows, windowLength: tokens.windowLength }
    return scratchFile === null ? record : { ...record, scratchFile }
  } catch (error) {
    await recorder.discard()
    throw error
  }
}

/** One pass over the windows: sums of every module, and the Gram blocks whose turn it is. */
async function runPass(
  model: HuggingFaceModel,
  batch: FittingBatch,
  settings: SessionSettings,
  tokens: WindowedTokens,
  batchWindows: number | null,
  control: CallControl,
  recorder: GramRecorder,
  pass: number,
): Promise<ReadonlyMap<string, Float64Array>> {
  const grams = recorder.passes[pass] ?? []
  const graph = buildCalibrationGraph(model, { locate: await locateWeights(model), grams })
  const session = await createSession(graph, { ...settings, optimization: 'disabled' })
  const share = (windowsDone: number) => (pass * tokens.windows + windowsDone) / recorder.passes.length
  const ofAll: CallControl = { ...control, report: (windowsDone) => control.report(Math.floor(share(windowsDone))) }
  const wanted = Math.min(tokens.windows, batchWindows ?? defaultBatchWindows(tokens.windowLength))
  const totals = await batch
    .run(tokens.windowLength, wanted, async (size) => {
      const totals = new Map<string, Float64Array>()
      recorder.startPass()
      await runWindows(tokens, size, ofAll, async (ids) => {
        const outputs = await session.run({ input_ids: ids })
        for (const name of sumNames) addTo(totals, name, dataOf(outputs, name, 'float64'))
        for (const block of grams) recorder.add(block, dataOf(outputs, calibrationOutputs.gram(block), 'float64'))
      })
      return totals
    })
    .finally(() => session.release())
  await recorder.endPass()
  return totals
}

/** What is known before Gram matrices are looked at. */
type DescribedModule = Omit<ModuleCalibration, 'gram' | 'eliminationErrors'>

async function refuseNotFinite(model: HuggingFaceModel, module: number, calibration: DescribedModule): Promise<void> {
  const place = `layer ${module >> 1}, ${module % 2 === 0 ? 'attention' : 'feed-forward'}`
  for (const [name, values] of Object.entries(calibration)) {
    if (typeof values === 'number') continue
    const bad = findNotFinite(values)
    if (bad !== null) throw await explainNotFinite(model, `${place}: ${name} of channel ${bad} is ${values[bad]}`)
  }
}

const { attentionSums, attentionSquareSums, ffnSums, ffnSquareSums } = calibrationOutputs
const sumNames = [attentionSums, attentionSquareSums, ffnSums, ffnSquareSums]

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
): Promise<DescribedModule> {
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
