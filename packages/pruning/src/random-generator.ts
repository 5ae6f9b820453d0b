/** Deterministic random numbers; the same on every machine. */
export interface RandomGenerator {
  /** In [0, 1), 32 bits. */
  uniform(): number
  /** Standard normal (Box-Muller). */
  normal(): number
  /** Integer in [0, n). */
  integer(n: number): number
  /** Shuffles in place (Fisher-Yates) and returns the same array. */
  shuffle<T>(array: T[]): T[]
}

/**
 * A generator for a seed and a path. Different paths of one seed give independent streams, so that a step of a search
 * draws the same numbers whatever else ran before it.
 * State: 128 bits hashed from the path (cyrb128); generator: sfc32 of PractRand (Chris Doty-Humphrey).
 */
export function createRandomGenerator(seed: number, ...path: readonly (string | number)[]): RandomGenerator {
  const next = createSfc32(hashPath(JSON.stringify([seed, ...path])))
  const uniform = () => next() / 2 ** 32
  const integer = (n: number) => Math.floor(uniform() * n)
  return {
    uniform,
    integer,
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
    shuffle: <T>(array: T[]) => {
      for (let last = array.length - 1; last > 0; last--) {
        const other = integer(last + 1)
        const moved = array[last] as T
        array[last] = array[other] as T
        array[other] = moved
      }
      return array
    },
  }
}

function hashPath(text: string): [number, number, number, number] {
  let [a, b, c, d] = [1779033703, 3144134277, 1013904242, 2773480762]
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    a = b ^ Math.imul(a ^ code, 597399067)
    b = c ^ Math.imul(b ^ code, 2869860233)
    c = d ^ Math.imul(c ^ code, 951274213)
    d = a ^ Math.imul(d ^ code, 2716044179)
  }
  a = Math.imul(c ^ (a >>> 18), 597399067)
  b = Math.imul(d ^ (b >>> 22), 2869860233)
  c = Math.imul(a ^ (c >>> 17), 951274213)
  d = Math.imul(b ^ (d >>> 19), 2716044179)
  return [a ^ b ^ c ^ d, b ^ a, c ^ a, d ^ a]
}

function createSfc32(state: readonly [number, number, number, number]): () => number {
  let [a, b, c, d] = state
  const next = () => {
    const sum = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + sum) | 0
    return sum >>> 0
  }
  for (let i = 0; i < 15; i++) next()
  return next
}
