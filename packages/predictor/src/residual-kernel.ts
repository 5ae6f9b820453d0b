import type { KeptUnits } from '@espalier/contracts'

/**
 * How alike two policies are to the residual process: u^2 with u the mean over the modules of
 * exp(-(z - z')^2 / (2 l^2)), z the share of a module that is kept. The square holds each module by itself and every two
 * of them together (an additive kernel of degree two: Duvenaud, Nickisch, Rasmussen 2011, section 3): what a sum over
 * modules has wrong is how two of them act together, and that is learnt for all policies that have these two alike.
 */

/** Places in a module that are told apart, from nothing kept to everything. */
export const LEVELS = 256

/** Similarities of single modules are whole numbers of 1 / ONE: sums of them are exact, whatever their order. */
export const ONE = 2 ** 20

/** Level of `kept` of `units`: rounded to the nearest, in whole numbers so that ONNX Runtime rounds alike. */
export function levelOf(kept: number, units: number): number {
  return Math.floor((2 * (LEVELS - 1) * kept + units) / (2 * units))
}

/** Levels of policies, [policy, module]. */
export function levelsOf(units: readonly number[], policies: readonly KeptUnits[]): Uint8Array {
  const levels = new Uint8Array(policies.length * units.length)
  for (const [policy, kept] of policies.entries()) {
    const start = policy * units.length
    for (const [module, count] of units.entries()) levels[start + module] = levelOf(kept[module] ?? 0, count)
  }
  return levels
}

/** exp(-(z - z')^2 / (2 l^2)) in 1 / ONE by the difference of two levels, for a length l that is a share of a module. */
export function createSimilarity(length: number): Int32Array {
  const exact = (difference: number) => Math.exp(-((difference / (LEVELS - 1) / length) ** 2) / 2)
  return Int32Array.from({ length: LEVELS }, (_, difference) => Math.round(ONE * exact(difference)))
}

/** Kernel of every two policies, [policy, policy], lower triangle. */
export function kernelMatrix(levels: Uint8Array, modules: number, length: number): Float64Array {
  const count = levels.length / modules
  const similarity = createSimilarity(length)
  const matrix = new Float64Array(count * count)
  for (let row = 0; row < count; row++) {
    for (let column = 0; column <= row; column++) {
      let sum = 0
      for (let module = 0; module < modules; module++) {
        const difference = (levels[row * modules + module] as number) - (levels[column * modules + module] as number)
        sum += similarity[Math.abs(difference)] as number
      }
      matrix[row * count + column] = (sum / (ONE * modules)) ** 2
    }
  }
  return matrix
}
