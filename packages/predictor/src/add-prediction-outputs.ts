import type { OnnxGraph } from '@espalier/tensor-files'
import type { PredictionScale } from './prediction.js'
import { MAX_LOG_RISE, RISE_GRAIN, RISE_OFFSET } from './rise.js'

/**
 * Adds `predictionOf` to a graph, the same for every kind of predictor: t and its variance (names of values [N, 1];
 * variance null: none) -> outputs `logPerplexity`, `low`, `high` float [N].
 */
export function addPredictionOutputs(
  graph: OnnxGraph,
  scale: PredictionScale,
  logRise: string,
  variance: string | null = null,
): void {
  const reach = addReach(graph, scale, logRise, variance)
  addRiseOutput(graph, scale, 'logPerplexity', logRise)
  addRiseOutput(graph, scale, 'low', graph.add('Sub', [logRise, reach]))
  addRiseOutput(graph, scale, 'high', graph.add('Add', [logRise, reach]))
}

/** Half the width of the 90 % interval of t, [N, 1]: scale * sqrt(variance + noise^2 + grain(D)^2). */
function addReach(graph: OnnxGraph, scale: PredictionScale, logRise: string, variance: string | null): string {
  const offset = graph.float(RISE_OFFSET)
  const rise = graph.add('Max', [addExponential(graph, logRise), offset]) // max(D, 0) + 0.01
  const grain = graph.add('Div', [graph.float(RISE_GRAIN), rise])
  const noise = graph.add('Add', [graph.add('Mul', [grain, grain]), graph.float(scale.noise ** 2)])
  const deviation = graph.add('Sqrt', [variance === null ? noise : graph.add('Add', [variance, noise])])
  return graph.add('Mul', [deviation, graph.float(scale.intervalScale)])
}

/** D + 0.01. */
function addExponential(graph: OnnxGraph, logRise: string): string {
  return graph.add('Exp', [graph.add('Min', [logRise, graph.float(MAX_LOG_RISE)])])
}

function addRiseOutput(graph: OnnxGraph, scale: PredictionScale, name: string, logRise: string): void {
  const base = graph.float(scale.denseLogPerplexity - RISE_OFFSET)
  const value = graph.add('Add', [addExponential(graph, logRise), base])
  graph.addOutput(graph.add('Reshape', [value, graph.int64([-1])]), 'float', ['N'], name)
}
