/**
 * Tokens after which making a policy has paid: cost / (1 / dense - 1 / pruned).
 *
 * @param costSeconds of making it
 * @param dense, pruned tokens a second
 * @returns null when the pruned model is not faster: it never pays by time
 */
export function breakEvenTokens(costSeconds: number, dense: number, pruned: number): number | null {
  const savedSecondsPerToken = 1 / dense - 1 / pruned
  return savedSecondsPerToken > 0 ? costSeconds / savedSecondsPerToken : null
}
