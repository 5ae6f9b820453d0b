import type { WindowedTokens } from './evaluator.js'

/**
 * UTF-8 bytes of the text that the predicted tokens of each window cover. A window predicts every token but its first,
 * so its bytes are those from the end of its first token to the end of its last.
 *
 * @param byteEnds UTF-8 bytes of the text up to the end of each token
 */
export function countWindowBytes(
  byteEnds: ArrayLike<number>,
  { windowLength, windows }: Pick<WindowedTokens, 'windowLength' | 'windows'>,
): number[] {
  const endOf = (token: number) => byteEnds[token] ?? Number.NaN
  return Array.from(
    { length: windows },
    (_, window) => endOf((window + 1) * windowLength - 1) - endOf(window * windowLength),
  )
}
