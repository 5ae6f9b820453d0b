import { OnnxGraph } from '@espalier/tensor-files'
import { addPredictionOutputs } from './add-prediction-outputs.js'
import { BEND_CENTRE, BEND_WIDTH, type Contributions, parameter, parameterCount } from './curve-model.js'
import type { DamageTables } from './damage-tables.js'
import type { PredictorState } from './predictor-state.js'
import { LEVELS, levelsOf } from './residual-kernel.js'
import type { ResidualProcess } from './residual-process.js'
import { RISE_OFFSET } from './rise.js'

/**
 * The predictor as an ONNX model, opset 17: `kept` int64 [N, M] -> `logPerplexity`, `low`, `high`
 * float [N]. Same formulas as `curve-model.ts`, in single precision, tables looked up by Gather, the Laplace variance
 * and the 90 % interval inside. Counts outside 0..units are not checked.
 */
export function encodePredictorOnnx(state: PredictorState, tables: DamageTables): Uint8Array {
  const graph = new OnnxGraph('espalier_predictor')
  const modules = state.scale.units.length
  const kept = graph.addInput('kept', 'int64', ['N', modules])
  const entries = graph.add('Add', [kept, graph.int64([...tables.offsets])]) // [N, M]
  const parts = addLookUp(graph, tables, entries)
  const link = addLink(graph, state, parts.damage)
  const residual = state.residual && addResidual(graph, state.scale.units, state.residual, kept)
  const logRise = residual ? graph.add('Add', [link.logRise, residual]) : link.logRise // [N, 1]
  const variance = addVariance(graph, state, parts, link)
  addPredictionOutputs(graph, state, logRise, variance)
  return graph.encodeModel({ opset: 17, producer: 'espalier', irVersion: 8 })
}

/** What the tables say of each module, names of values [N, M]. */
type Parts = Readonly<Record<keyof Contributions, string>>

/**
 * All tables lie side by side, [entries, 4], and are looked up together: ONNX Runtime takes as long for four neighbours
 * as for one number, and that is most of the time of a score.
 */
function addLookUp(graph: OnnxGraph, tables: DamageTables, entries: string): Parts {
  const columns = [tables.damage, tables.logRatio, tables.mixtureSlope, tables.removedCentred] as const
  const length = tables.damage.length
  const rows = new Float32Array(length * columns.length)
  for (const [column, values] of columns.entries())
    for (let entry = 0; entry < length; entry++) rows[entry * columns.length + column] = values[entry] ?? 0
  const table = graph.addInitializer('tables', 'float', [length, columns.length], bytesOf(rows))
  const found = graph.add('Gather', [table, entries], { axis: 0 }) // [N, M, 4]
  const byTable = graph.add('Transpose', [found], { perm: [2, 0, 1] }) // [4, N, M]
  const part = (column: number) => graph.add('Gather', [byTable, graph.int64(column)], { axis: 0 })
  return { damage: part(0), logRatio: part(1), mixtureSlope: part(2), removedCentred: part(3) }
}

interface Link {
  /** x = log(S + 0.01), [N, 1]. */
  readonly logSum: string
  /** sqrt(4 + (x + 1.5)^2) - 2, [N, 1]. */
  readonly bending: string
  /** dt/dS, [N, 1]. */
  readonly gradient: string
  /** t of the curve, [N, 1]. */
  readonly logRise: string
}

function addLink(graph: OnnxGraph, state: PredictorState, damage: string): Link {
  const sum = graph.add('ReduceSum', [damage, graph.int64([1])], { keepdims: 1 })
  const total = graph.add('Add', [sum, graph.float(RISE_OFFSET)])
  const logSum = graph.add('Log', [total])
  const distance = graph.add('Sub', [logSum, graph.float(BEND_CENTRE)])
  const square = graph.add('Add', [graph.add('Mul', [distance, distance]), graph.float(BEND_WIDTH ** 2)])
  const root = graph.add('Sqrt', [square])
  const bending = graph.add('Sub', [root, graph.float(BEND_WIDTH)])
  const slope = graph.float(state.parameters[parameter.slope] ?? 0)
  const bend = graph.float(state.parameters[parameter.bend] ?? 0)
  const straight = graph.add('Add', [
    graph.add('Mul', [logSum, slope]),
    graph.float(state.parameters[parameter.intercept] ?? 0),
  ])
  const logRise = graph.add('Add', [straight, graph.add('Mul', [bending, bend])])
  const turned = graph.add('Add', [graph.add('Mul', [graph.add('Div', [distance, root]), bend]), slope])
  return { logSum, bending, gradient: graph.add('Div', [turned, total]), logRise }
}

/** |R J|^2, [N, 1]; J = [1, x, bending, exponent 2, mixture 2, shape 2, levels M, shapes M] as in `curve-model.ts`. */
function addVariance(graph: OnnxGraph, state: PredictorState, parts: Parts, link: Link): string {
  const { kinds } = state.scale
  const modules = kinds.length
  // [M, 2]: 1 where the module is of the kind; multiplying by it sums over the modules of each kind.
  const oneHot = Float32Array.from(kinds.flatMap((kind) => [1 - kind, kind]))
  const ofKind = graph.addInitializer('kinds', 'float', [modules, 2], bytesOf(oneHot))
  const weights = graph.add('Mul', [parts.damage, link.gradient]) // [N, M]
  const weigh = (part: string) => graph.add('Mul', [weights, part])
  const byKind = (values: string) => graph.add('MatMul', [values, ofKind])
  const shapes = weigh(parts.removedCentred)
  const jacobian = graph.add(
    'Concat',
    [
      link.logSum,
      link.bending,
      byKind(weigh(parts.logRatio)),
      byKind(weigh(parts.mixtureSlope)),
      byKind(shapes),
      weights,
      shapes,
    ],
    { axis: 1 },
  ) // [N, K - 1]: the intercept's derivative, 1, is the bias of the product
  const { matrix, bias } = transposeRoot(state.covarianceRoot, parameterCount(modules))
  const count = bias.length
  const rootName = graph.addInitializer('covariance_root', 'float', [count - 1, count], bytesOf(matrix))
  const product = graph.add('Gemm', [jacobian, rootName, graph.float(bias)]) // [N, K]
  return graph.add('ReduceSumSquare', [product], { axes: [1], keepdims: 1 })
}

/** R^T without its first row, [K - 1, K], and that row. */
function transposeRoot(root: Float32Array, count: number) {
  const transposed = new Float32Array(count * count)
  for (let row = 0; row < count; row++) {
    for (let k = 0; k <= row; k++) transposed[k * count + row] = root[row * count + k] ?? 0
  }
  return { bias: transposed.slice(0, count), matrix: transposed.slice(count) }
}

/**
 * The mean of the residual process, [N, 1], by the kernel of `residual-kernel.ts`: similarities of every level of every
 * module with every sample, [M * levels, samples], are worked out once; a policy adds up one row a module.
 */
function addResidual(
  graph: OnnxGraph,
  units: readonly number[],
  { smoothness, kept: samples, weights }: ResidualProcess,
  kept: string,
): string {
  const [modules, count] = [units.length, samples.length]
  const similarities = addSimilarities(graph, levelsOf(units, samples), modules, smoothness.length)
  // As levelOf: (2 (levels - 1) kept + units) / (2 units), whole.
  const doubled = graph.add('Mul', [kept, graph.int64(2 * (LEVELS - 1))])
  const numerator = graph.add('Add', [doubled, graph.int64([...units])])
  const levels = graph.add('Div', [numerator, graph.int64(units.map((each) => 2 * each))])
  const rows = graph.add('Add', [levels, graph.int64(units.map((_, module) => module * LEVELS))]) // [N, M]
  const sum = units
    .map((_, module) => graph.add('Gather', [rows, graph.int64(module)], { axis: 1 })) // [N]
    .map((row) => graph.add('Gather', [similarities, row], { axis: 0 })) // [N, samples]
    .reduce((total, row) => graph.add('Add', [total, row]))
  const scaled = Float32Array.from(weights, (weight) => weight / modules ** 2)
  const weightsName = graph.addInitializer('residual_weights', 'float', [count, 1], bytesOf(scaled))
  return graph.add('MatMul', [graph.add('Mul', [sum, sum]), weightsName])
}

/** exp(-(z - z')^2 / (2 l^2)) of levels and samples, [M * levels, samples]. */
function addSimilarities(graph: OnnxGraph, samples: Uint8Array, modules: number, length: number): string {
  const count = samples.length / modules
  const shareOf = (level: number) => level / (LEVELS - 1)
  const places = new Float32Array(samples.length) // [M, samples]
  for (let sample = 0; sample < count; sample++)
    for (let module = 0; module < modules; module++)
      places[module * count + sample] = shareOf(samples[sample * modules + module] as number)
  const grid = Float32Array.from({ length: LEVELS }, (_, level) => shareOf(level))
  const difference = graph.add('Sub', [
    graph.addInitializer('residual_grid', 'float', [LEVELS, 1], bytesOf(grid)),
    graph.addInitializer('residual_places', 'float', [modules, 1, count], bytesOf(places)),
  ]) // [M, levels, samples]
  const square = graph.add('Mul', [difference, difference])
  const similarity = graph.add('Exp', [graph.add('Mul', [square, graph.float(-1 / (2 * length ** 2))])])
  return graph.add('Reshape', [similarity, graph.int64([modules * LEVELS, count])])
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
