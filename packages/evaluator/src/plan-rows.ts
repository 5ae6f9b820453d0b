import type { ScoredSequence } from './evaluator.js'
import { defaultBatchWindows } from './run-windows.js'

/** Rows that run together: right-padded, so that causality keeps the padding out of every likelihood. */
export interface RowBatch {
  /** [rows x length] */
  readonly ids: Int32Array
  readonly rows: number
  readonly length: number
  /** Tokens without padding. */
  readonly tokens: number
  readonly spans: readonly ScoredSpan[]
}

/** Predictions `from` to `to` (excluded) of a row: those of a sequence's scored tokens. Prediction p is of token p + 1. */
interface ScoredSpan {
  readonly sequence: number
  readonly row: number
  readonly from: number
  readonly to: number
}

/** Fills up rows; every model has this token. */
const padding = 0

/**
 * Puts ragged sequences into batches of rows of similar length, the longest first. A sequence that starts another one
 * needs no row of its own: in a causal model its likelihoods are those of the longer one.
 *
 * @param batchRows rows of a batch; null: as many as make about 2048 tokens
 */
export function planRows(sequences: readonly ScoredSequence[], batchRows: number | null): RowBatch[] {
  const groups = groupByRow(sequences).sort((left, right) => right.ids.length - left.ids.length)
  const batches: RowBatch[] = []
  for (let first = 0; first < groups.length; ) {
    const length = groups[first]?.ids.length ?? 0
    const count = Math.min(batchRows ?? defaultBatchWindows(length), groups.length - first)
    batches.push(createBatch(sequences, groups.slice(first, first + count), length))
    first += count
  }
  return batches
}

interface Row {
  readonly ids: Int32Array
  /** Indices of the sequences that start with these ids or are them. */
  readonly sequences: readonly number[]
}

/** In lexicographic order a sequence that starts another one starts the one right after it. */
function groupByRow(sequences: readonly ScoredSequence[]): Row[] {
  const idsOf = (index: number) => sequences[index]?.ids ?? new Int32Array()
  const order = sequences.map((_, index) => index).sort((left, right) => compare(idsOf(left), idsOf(right)))
  const rows: { ids: Int32Array; sequences: number[] }[] = []
  for (const index of order.reverse()) {
    const last = rows.at(-1)
    if (last !== undefined && isStart(idsOf(index), idsOf(last.sequences.at(-1) ?? index))) last.sequences.push(index)
    else rows.push({ ids: idsOf(index), sequences: [index] })
  }
  return rows
}

function compare(left: Int32Array, right: Int32Array): number {
  const shared = Math.min(left.length, right.length)
  for (let at = 0; at < shared; at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

function isStart(start: Int32Array, whole: Int32Array): boolean {
  return start.length <= whole.length && start.every((id, at) => id === whole[at])
}

function createBatch(sequences: readonly ScoredSequence[], rows: readonly Row[], length: number): RowBatch {
  const ids = new Int32Array(rows.length * length).fill(padding)
  const spans: ScoredSpan[] = []
  for (const [row, group] of rows.entries()) {
    ids.set(group.ids, row * length)
    for (const sequence of group.sequences) {
      const { ids: own, scoredTokens } = sequences[sequence] ?? { ids: group.ids, scoredTokens: 0 }
      spans.push({ sequence, row, from: own.length - 1 - scoredTokens, to: own.length - 1 })
    }
  }
  return { ids, rows: rows.length, length, spans, tokens: rows.reduce((sum, row) => sum + row.ids.length, 0) }
}
