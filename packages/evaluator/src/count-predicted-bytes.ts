import type { WindowedTokens } from './evaluator.js'

/**
 * UTF-8 bytes of the text that the predicted tokens of all windows cover. A window predicts every token but its first,
 * so its bytes are those from the end of its first token to the end of its last.
 *
 * @param byteEnds UTF-8 bytes of the text up to the end of each token
 */
export function countPredictedBytes(
  byteEnds: ArrayLike<number>,
  { windowLength, windows }: Pick<WindowedTokens, 'windowLength' | 'windows'>,
): number {
  let bytes = 0
  for (let first = 0; first < windows * windowLength; first += windowLength) {
    bytes += (byteEnds[first + windowLength - 1] ?? Number.NaN) - (byteEnds[first] ?? Number.NaN)
  }
  return bytes
}
