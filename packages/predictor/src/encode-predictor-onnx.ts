import { OnnxGraph } from '@espalier/tensor-files'
import { addPredictionOutputs } from './add-prediction-outputs.js'
import { BEND_CENTRE, BEND_WIDTH, parameter, parameterCount } from './curve-model.js'
import type { DamageTables } from './damage-tables.js'
import type { PredictorState } from './predictor-state.js'
import type { Forest } from './regression-trees.js'
import { RISE_OFFSET } from './rise.js'

/**
 * The predictor as an ONNX model, opset 17 with ai.onnx.ml 3: `kept` int64 [N, M] -> `logPerplexity`, `low`, `high`
 * float [N]. Same formulas as `curve-model.ts`, in single precision, tables looked up by Gather, the Laplace variance
 * and the 90 % interval inside. Counts outside 0..units are not checked.
 */
export function encodePredictorOnnx(state: PredictorState, tables: DamageTables): Uint8Array {
  const graph = new OnnxGraph('espalier_predictor')
  const modules = state.scale.units.length
  const kept = graph.addInput('kept', 'int64', ['N', modules])
  const entries = graph.add('Add', [kept, graph.int64([...tables.offsets])]) // [N, M]
  const damage = lookUp(graph, tables.damage, entries) // [N, M]
  const link = addLink(graph, state, damage)
  const forest = state.forest.roots.length > 0 ? addForest(graph, state.forest, kept) : null
  const logRise = forest ? graph.add('Add', [link.logRise, forest]) : link.logRise // [N, 1]
  const variance = addVariance(graph, state, tables, { entries, damage, ...link })
  addPredictionOutputs(graph, state, logRise, variance)
  return graph.encodeModel({ opset: 17, domains: { 'ai.onnx.ml': 3 }, producer: 'espalier', irVersion: 8 })
}

function lookUp(graph: OnnxGraph, table: Float64Array, entries: string): string {
  return graph.add('Gather', [graph.float(Float32Array.from(table)), entries], { axis: 0 })
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
function addVariance(
  graph: OnnxGraph,
  state: PredictorState,
  tables: DamageTables,
  at: { entries: string; damage: string; logSum: string; bending: string; gradient: string },
): string {
  const { kinds } = state.scale
  const modules = kinds.length
  // [M, 2]: 1 where the module is of the kind; multiplying by it sums over the modules of each kind.
  const oneHot = Float32Array.from(kinds.flatMap((kind) => [1 - kind, kind]))
  const ofKind = graph.addInitializer('kinds', 'float', [modules, 2], bytesOf(oneHot))
  const weights = graph.add('Mul', [at.damage, at.gradient]) // [N, M]
  const weigh = (table: Float64Array) => graph.add('Mul', [weights, lookUp(graph, table, at.entries)])
  const byKind = (values: string) => graph.add('MatMul', [values, ofKind])
  const shapes = weigh(tables.removedCentred)
  const jacobian = graph.add(
    'Concat',
    [
      at.logSum,
      at.bending,
      byKind(weigh(tables.logRatio)),
      byKind(weigh(tables.mixtureSlope)),
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

/** Sum of the residual trees, [N, 1]. */
function addForest(graph: OnnxGraph, forest: Forest, kept: string): string {
  const nodes = flattenForest(forest)
  const leaves = nodes.filter(({ feature }) => feature < 0)
  return graph.add(
    'TreeEnsembleRegressor',
    [graph.add('Cast', [kept], { to: { type: 'float' } })],
    {
      n_targets: 1,
      nodes_treeids: nodes.map(({ tree }) => tree),
      nodes_nodeids: nodes.map(({ id }) => id),
      nodes_featureids: nodes.map(({ feature }) => Math.max(feature, 0)),
      nodes_values: { floats: nodes.map(({ threshold }) => threshold) },
      nodes_modes: { strings: nodes.map(({ feature }) => (feature < 0 ? 'LEAF' : 'BRANCH_LEQ')) },
      nodes_truenodeids: nodes.map(({ left }) => left),
      nodes_falsenodeids: nodes.map(({ feature, left }) => (feature < 0 ? 0 : left + 1)),
      target_treeids: leaves.map(({ tree }) => tree),
      target_nodeids: leaves.map(({ id }) => id),
      target_ids: leaves.map(() => 0),
      target_weights: { floats: leaves.map(({ value }) => value) },
    },
    'ai.onnx.ml',
  )
}

/** Nodes numbered within their trees, as ONNX wants them. */
function flattenForest(forest: Forest) {
  return [...forest.roots].flatMap((root, tree) => {
    const end = forest.roots[tree + 1] ?? forest.features.length
    return Array.from({ length: end - root }, (_, id) => {
      const node = root + id
      const feature = forest.features[node] ?? -1
      return {
        tree,
        id,
        feature,
        threshold: forest.thresholds[node] ?? 0,
        left: feature < 0 ? 0 : (forest.left[node] ?? 0) - root,
        value: forest.values[node] ?? 0,
      }
    })
  })
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
