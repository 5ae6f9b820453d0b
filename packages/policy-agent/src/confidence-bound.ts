import type { Scorer, ScorerSource } from './scored-policy.js'

/** Standard deviations of the prediction that the bound lies away from it. */
const DEVIATIONS = 0.5

/**
 * Scores a policy by the lower confidence bound of its reward: with the reward -log-perplexity, normal with the predicted
 * mean and deviation, the bound of the log-perplexity is mean + k deviation. A policy network that is trained on it
 * gains nothing by going where the predictor knows little.
 * @returns the predicted log-perplexity alone where the source has no uncertainty
 */
export function createBoundScorer(source: ScorerSource): Scorer {
  if (!source.predict) return source.createScorer()
  return (kept) => {
    const { logPerplexity, standardDeviation } = source.predict?.(kept) ?? { logPerplexity: 0, standardDeviation: 0 }
    return logPerplexity + DEVIATIONS * standardDeviation
  }
}
