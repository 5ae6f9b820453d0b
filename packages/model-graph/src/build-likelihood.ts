import type { OnnxGraph } from '@espalier/tensor-files'
import type { DecoderContext } from './build-decoder.js'
import { addSoftcap } from './build-operators.js'

/**
 * Adds the output `nll` float [B x (T - 1)]: -log softmax(cap(normed x head^T)) at the next token.
 *
 * A `Loop` over chunks of at most `maxRows` rows keeps the logits from ever existing all at once. N rows make
 * ceil(N / maxRows) chunks of equal size; the last one repeats the last row and what is repeated is cut off.
 */
export function addTokenLikelihood(graph: OnnxGraph, context: DecoderContext, normed: string, maxRows: number): void {
  const { outputHead, shape, config } = context.model
  const last = graph.int64([-1])
  const axis = graph.int64([1])
  const predicting = graph.add('Slice', [normed, graph.int64([0]), last, axis])
  const rows = graph.add('Reshape', [predicting, graph.int64([-1, shape.hiddenSize])])
  const next = graph.add('Slice', ['input_ids', graph.int64([1]), graph.int64([Number.MAX_SAFE_INTEGER]), axis])
  const labels = graph.add('Reshape', [next, last])
  const count = graph.add('Size', [labels])
  const chunks = addCeilDivision(graph, count, graph.int64(maxRows))
  const chunkRows = addCeilDivision(graph, count, chunks)
  const offsets = graph.add('Range', [graph.int64(0), chunkRows, graph.int64(1)])
  const lastRow = graph.add('Sub', [count, graph.int64(1)])
  const head = context.weights.float(graph, outputHead)

  const body = graph.createSubgraph('chunk')
  const iteration = body.addInput(body.createName('iteration'), 'int64', [])
  const condition = body.addInput(body.createName('condition'), 'bool', [])
  const start = body.add('Mul', [iteration, chunkRows])
  const indices = body.add('Min', [body.add('Add', [offsets, start]), lastRow])
  const logits = body.add('Gemm', [body.add('Gather', [rows, indices], { axis: 0 }), head], { transB: 1 })
  const capped = config.logitSoftcap === null ? logits : addSoftcap(body, logits, config.logitSoftcap)
  const logProbabilities = body.add('LogSoftmax', [capped], { axis: -1 })
  const chunkLabels = body.add('Unsqueeze', [body.add('Gather', [labels, indices], { axis: 0 }), axis])
  const picked = body.add('GatherElements', [logProbabilities, chunkLabels], { axis: 1 })
  body.addOutput(condition, 'bool', [], body.createName('condition'))
  body.addOutput(body.add('Neg', [body.add('Squeeze', [picked, axis])]), 'float', ['rows'])

  const chunked = graph.createName('chunked')
  graph.addNode({
    operator: 'Loop',
    inputs: [chunks, graph.bool(true)],
    outputs: [chunked],
    attributes: { body: { graph: body } },
  })
  const flat = graph.add('Reshape', [chunked, last])
  const end = graph.add('Unsqueeze', [count, graph.int64([0])])
  graph.addOutput(graph.add('Slice', [flat, graph.int64([0]), end]), 'float', ['predictions'], 'nll')
}

function addCeilDivision(graph: OnnxGraph, dividend: string, divisor: string): string {
  const raised = graph.add('Sub', [graph.add('Add', [dividend, divisor]), graph.int64(1)])
  return graph.add('Div', [raised, divisor])
}
