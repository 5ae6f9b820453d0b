/** How good predictions are. All functions take two arrays of equal length, measured values first. */

/** Spearman's rank correlation, ties at their mean rank; 0 when one side does not vary. */
export function spearman(measured: readonly number[], predicted: readonly number[]): number {
  return correlation(ranks(measured), ranks(predicted))
}

/**
 * Mean of Spearman's correlations within bins of equal sparsity. Across sparsities anything ranks well; what a search
 * needs is the order of policies that are equally sparse.
 *
 * @param edges ascending; bin i holds edges[i] <= sparsity < edges[i + 1]; bins with fewer than `smallest` values are left out
 * @returns NaN when no bin has enough values
 */
export function withinBinSpearman(
  measured: readonly number[],
  predicted: readonly number[],
  sparsities: readonly number[],
  edges: readonly number[],
  smallest = 5,
): number {
  const values = edges.slice(1).flatMap((end, bin) => {
    const inside = [...sparsities.keys()].filter((i) => {
      const sparsity = sparsities[i] ?? Number.NaN
      return sparsity >= (edges[bin] ?? 0) && sparsity < end
    })
    const pick = (from: readonly number[]) => inside.map((i) => from[i] ?? 0)
    return inside.length < smallest ? [] : [spearman(pick(measured), pick(predicted))]
  })
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

export function meanAbsoluteError(measured: readonly number[], predicted: readonly number[]): number {
  return measured.reduce((sum, value, i) => sum + Math.abs(value - (predicted[i] ?? 0)), 0) / measured.length
}

/** Share of the measured values inside their intervals, ends included. */
export function intervalCoverage(
  measured: readonly number[],
  intervals: readonly { readonly low: number; readonly high: number }[],
): number {
  const inside = measured.filter((value, i) => {
    const interval = intervals[i]
    return interval !== undefined && value >= interval.low && value <= interval.high
  })
  return inside.length / measured.length
}

function ranks(values: readonly number[]): number[] {
  const order = [...values.keys()].sort((a, b) => (values[a] ?? 0) - (values[b] ?? 0))
  const result = new Array<number>(values.length).fill(0)
  for (let start = 0; start < order.length; ) {
    let end = start
    while (end + 1 < order.length && values[order[end + 1] ?? 0] === values[order[start] ?? 0]) end++
    for (let k = start; k <= end; k++) result[order[k] ?? 0] = (start + end) / 2
    start = end + 1
  }
  return result
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [meanA, meanB] = [mean(a), mean(b)]
  let [ab, aa, bb] = [0, 0, 0]
  for (let i = 0; i < a.length; i++) {
    const [da, db] = [(a[i] ?? 0) - meanA, (b[i] ?? 0) - meanB]
    ab += da * db
    aa += da * da
    bb += db * db
  }
  return aa > 0 && bb > 0 ? ab / Math.sqrt(aa * bb) : 0
}
