/** Folds; more of them while each evaluation matters to the fit. */
const MANY_FOLDS = 10
const FEW_FOLDS = 5
const FEW_FOLDS_FROM = 100

/**
 * Cuts evaluations into folds that are held out one after the other. Neighbours in order share a fold: policies of one
 * round resemble each other and would give each other away.
 * @param most never more folds than this, for what trains slowly
 * @returns no folds when there are fewer than two evaluations
 */
export function assignFolds(indices: readonly number[], most = MANY_FOLDS): (readonly number[])[] {
  const wanted = indices.length < FEW_FOLDS_FROM ? MANY_FOLDS : FEW_FOLDS
  const count = Math.min(indices.length, wanted, most)
  if (count < 2) return []
  const start = (fold: number) => Math.round((fold * indices.length) / count)
  return Array.from({ length: count }, (_, fold) => indices.slice(start(fold), start(fold + 1)))
}
