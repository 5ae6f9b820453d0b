/**
 * Bits that a model needs for a byte of text: sum of nll / ln 2 / bytes. Unlike perplexity it compares across
 * tokenizers.
 *
 * @param nll negative log-likelihoods, nats, of a token, a window or more each
 * @param bytes UTF-8 bytes of the text that the same tokens cover (see
 *   `countWindowBytes`), together above 0
 */
export function bitsPerByte(nll: readonly number[], bytes: readonly number[]): number {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  return sum(nll) / Math.LN2 / sum(bytes)
}
