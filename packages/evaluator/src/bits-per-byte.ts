/**
 * Bits that a model needs for a byte of text: sum of nll / ln 2 / bytes. Unlike perplexity it compares across
 * tokenizers.
 *
 * @param nll negative log-likelihoods, nats, of a token, a window or more each
 * @param bytes UTF-8 bytes of the text that the predicted tokens cover (see `countPredictedBytes`), above 0
 */
export function bitsPerByte(nll: readonly number[], bytes: number): number {
  return nll.reduce((sum, value) => sum + value, 0) / Math.LN2 / bytes
}
