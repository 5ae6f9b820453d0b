import type { OnnxGraph } from '@espalier/tensor-files'
import type { DecoderContext } from './build-decoder.js'
import { addSoftcap } from './build-operators.js'

/** What the likelihood of a run is computed from; N = B x (T - 1). */
interface PredictedRows {
  /** [N, hidden] float, the final hidden state at every position that predicts. */
  readonly hidden: string
  /** [N, hidden] float of the reference model, or [0, hidden]. */
  readonly reference: string
  /** [N] int64, the next token. */
  readonly labels: string
}

/**
 * Adds the outputs, N = B x (T - 1) predicted tokens:
 *
 * - `nll` float [N]: -log q(next token), q = softmax(cap(hidden x head^T)).
 * - `hidden` float [N, hidden]: what the logits are computed from; the `reference` of another run.
 * - `kl` float [N]: KL(p || q) in nats, p as q of the input `reference`.
 * - `agrees` float [N]: 1 where p and q have the same most probable token, else 0. With a `reference` of [0, hidden]
 *   both mean nothing and cost nothing.
 *
 * A `Loop` over equal pieces of the vocabulary keeps the logits from ever existing all at once: at most `maxLogits`
 * (and one column at least), and as much of the head as float. With S_c = log of the sum of exp(logit) over piece c,
 * log sum exp over the vocabulary is that of all S_c; with P_c and Q_c the shares of piece c and p_c and q_c the
 * distributions within it, the chain rule gives KL(p || q) = KL(P || Q) + sum_c P_c KL(p_c || q_c).
 */
export function addTokenLikelihood(
  graph: OnnxGraph,
  context: DecoderContext,
  normed: string,
  reference: string,
  maxLogits: number,
): void {
  const rows = addPredictedRows(graph, context, normed, reference)
  const hasReference = graph.add('Greater', [graph.add('Size', [reference]), graph.int64(0)])
  const vocabulary = graph.int64(context.model.shape.vocabularySize)
  const logits = graph.add('Mul', [graph.add('Size', [rows.labels]), vocabulary])
  const pieces = graph.add('Min', [addCeilDivision(graph, logits, graph.int64(maxLogits)), vocabulary])
  const columns = addCeilDivision(graph, vocabulary, pieces)

  const body = graph.createSubgraph('vocabulary_piece')
  const iteration = body.addInput(body.createName('iteration'), 'int64', [])
  const condition = body.addInput(body.createName('condition'), 'bool', [])
  body.addOutput(condition, 'bool', [], body.createName('condition'))
  const piece = addPiece(body, context, rows, hasReference, body.add('Mul', [iteration, columns]), columns)
  for (const { name, type } of pieceValues) body.addOutput(piece[name], type, ['rows'])
  const stacked = Object.fromEntries(pieceValues.map(({ name }) => [name, graph.createName(name)])) as PieceValues
  graph.addNode({
    operator: 'Loop',
    inputs: [addCeilDivision(graph, vocabulary, columns), graph.bool(true)],
    outputs: pieceValues.map(({ name }) => stacked[name]),
    attributes: { body: { graph: body } },
  })
  addOutputs(graph, rows, stacked)
}

function addPredictedRows(
  graph: OnnxGraph,
  { model }: DecoderContext,
  normed: string,
  reference: string,
): PredictedRows {
  const axis = graph.int64([1])
  const last = graph.int64([-1])
  const predicting = graph.add('Slice', [normed, graph.int64([0]), last, axis])
  const next = graph.add('Slice', ['input_ids', graph.int64([1]), graph.int64([Number.MAX_SAFE_INTEGER]), axis])
  return {
    hidden: graph.add('Reshape', [predicting, graph.int64([-1, model.shape.hiddenSize])]),
    reference,
    labels: graph.add('Reshape', [next, last]),
  }
}

/** What the Loop stacks, each [N] a piece of the vocabulary. */
const pieceValues = [
  /** Logit of the next token, 0 where it is in another piece. */
  { name: 'labelLogit', type: 'float' },
  /** Log of the sum of exp(logit). */
  { name: 'logSum', type: 'float' },
  { name: 'largest', type: 'float' },
  { name: 'referenceLogSum', type: 'float' },
  { name: 'referenceLargest', type: 'float' },
  /** KL divergence within the piece. */
  { name: 'divergence', type: 'float' },
  /** The token with the largest logit. */
  { name: 'token', type: 'int64' },
  { name: 'referenceToken', type: 'int64' },
] as const
type PieceValues = Record<(typeof pieceValues)[number]['name'], string>

/** Columns [start, start + columns) of the logits; there are fewer at the end of the vocabulary. */
function addPiece(
  graph: OnnxGraph,
  context: DecoderContext,
  { hidden, reference, labels }: PredictedRows,
  hasReference: string,
  start: string,
  columns: string,
): PieceValues {
  const first = graph.int64([0])
  const from = graph.add('Unsqueeze', [start, first])
  const to = graph.add('Add', [from, columns])
  const head = context.weights.rows(graph, context.model.outputHead, from, to)
  const { logits, logProbabilities, largest, logSum } = addDistribution(graph, context, hidden, head)
  const column = graph.add('Sub', [labels, start])
  const isHere = graph.add('And', [
    graph.add('GreaterOrEqual', [column, graph.int64(0)]),
    graph.add('Less', [column, columns]),
  ])
  const lastAxis = graph.int64([1])
  const indices = graph.add('Unsqueeze', [graph.add('Where', [isHere, column, graph.int64(0)]), lastAxis])
  const picked = graph.add('Squeeze', [graph.add('GatherElements', [logits, indices], { axis: 1 }), lastAxis])
  const labelLogit = graph.add('Where', [isHere, picked, graph.float(0)])

  const compared = graph.createSubgraph('compared')
  const other = addDistribution(compared, context, reference, head)
  const tokenOf = (values: string) =>
    compared.add('Add', [compared.add('ArgMax', [values], { axis: 1, keepdims: 0 }), start])
  const fromComparison: Omit<PieceValues, 'labelLogit' | 'logSum' | 'largest'> = {
    referenceLogSum: other.logSum,
    referenceLargest: other.largest,
    divergence: addDivergence(compared, other.logProbabilities, logProbabilities, 1),
    token: tokenOf(logits),
    referenceToken: tokenOf(other.logits),
  }
  return { labelLogit, logSum, largest, ...addIfCompared(graph, compared, hasReference, labels, fromComparison) }
}

/** The values of the branch `compared`, or zeros. */
function addIfCompared<T extends string>(
  graph: OnnxGraph,
  compared: OnnxGraph,
  hasReference: string,
  labels: string,
  values: Record<T, string>,
): Record<T, string> {
  const skipped = graph.createSubgraph('skipped')
  const length = skipped.add('Shape', [labels])
  const zeros = {
    float: skipped.add('Expand', [skipped.float(0), length]),
    int64: skipped.add('Expand', [skipped.int64(0), length]),
  }
  const outputs = {} as Record<T, string>
  for (const name of Object.keys(values) as T[]) {
    const type = pieceValues.find((value) => value.name === name)?.type ?? 'float'
    compared.addOutput(values[name], type, ['rows'])
    skipped.addOutput(zeros[type], type, ['rows'], skipped.createName(name))
    outputs[name] = graph.createName(name)
  }
  graph.addNode({
    operator: 'If',
    inputs: [hasReference],
    outputs: Object.values(outputs),
    attributes: { then_branch: { graph: compared }, else_branch: { graph: skipped } },
  })
  return outputs
}

/** Logits of some columns [N, C] and their distribution among themselves. */
function addDistribution(graph: OnnxGraph, { model }: DecoderContext, hidden: string, head: string) {
  const { logitSoftcap } = model.config
  const product = graph.add('Gemm', [hidden, head], { transB: 1 })
  const logits = logitSoftcap === null ? product : addSoftcap(graph, product, logitSoftcap)
  const logProbabilities = graph.add('LogSoftmax', [logits], { axis: 1 })
  const axis = graph.int64([1])
  const largest = graph.add('ReduceMax', [logits, axis], { keepdims: 0 })
  const largestLog = graph.add('ReduceMax', [logProbabilities, axis], { keepdims: 0 })
  return { logits, logProbabilities, largest, logSum: graph.add('Sub', [largest, largestLog]) }
}

/**
 * Sum over the axis of p (log p - log q) + q - p, given log p and log q. The last two terms add nothing to a sum over
 * distributions, but take away in first order what rounding does to their normalisation.
 */
function addDivergence(graph: OnnxGraph, logP: string, logQ: string, axis: number): string {
  const p = graph.add('Exp', [logP])
  const product = graph.add('Mul', [p, graph.add('Sub', [logP, logQ])])
  const excess = graph.add('Sub', [graph.add('Exp', [logQ]), p])
  return graph.add('ReduceSum', [graph.add('Add', [product, excess]), graph.int64([axis])], { keepdims: 0 })
}

/** From the values of all pieces, [pieces, N] each. */
function addOutputs(graph: OnnxGraph, { hidden }: PredictedRows, pieces: PieceValues): void {
  const axis = graph.int64([0])
  const sum = (values: string) => graph.add('ReduceSum', [values, axis], { keepdims: 0 })
  const logSumOf = (values: string) => graph.add('ReduceLogSumExp', [values, axis], { keepdims: 0 })
  const logSum = logSumOf(pieces.logSum)
  const nll = graph.add('Sub', [logSum, sum(pieces.labelLogit)])

  const logShares = graph.add('Sub', [pieces.logSum, logSum])
  const logReferenceShares = graph.add('Sub', [pieces.referenceLogSum, logSumOf(pieces.referenceLogSum)])
  const within = sum(graph.add('Mul', [graph.add('Exp', [logReferenceShares]), pieces.divergence]))
  const kl = graph.add('Add', [addDivergence(graph, logReferenceShares, logShares, 0), within])

  const tokenOf = (largest: string, tokens: string) =>
    graph.add('GatherElements', [tokens, graph.add('ArgMax', [largest], { axis: 0 })], { axis: 0 })
  const agree = graph.add('Equal', [
    tokenOf(pieces.largest, pieces.token),
    tokenOf(pieces.referenceLargest, pieces.referenceToken),
  ])
  const agrees = graph.add('Squeeze', [graph.add('Cast', [agree], { to: { type: 'float' } }), axis])

  graph.addOutput(nll, 'float', ['predictions'], 'nll')
  graph.addOutput(hidden, 'float', ['predictions', 'hidden'], 'hidden')
  graph.addOutput(kl, 'float', ['predictions'], 'kl')
  graph.addOutput(agrees, 'float', ['predictions'], 'agrees')
}

function addCeilDivision(graph: OnnxGraph, dividend: string, divisor: string): string {
  const raised = graph.add('Sub', [graph.add('Add', [dividend, divisor]), graph.int64(1)])
  return graph.add('Div', [raised, divisor])
}
