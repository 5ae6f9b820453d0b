import type { KeptUnits } from '@espalier/contracts'
import { remember } from '@espalier/pruning'
import { choleskyFactor, solveCholesky } from './linear-algebra.js'
import { kernelMatrix, levelsOf } from './residual-kernel.js'

/**
 * What the curve model leaves unexplained of t, as a Gaussian process over policies (Rasmussen, Williams 2006, chapter
 * 2) with the kernel of `residual-kernel.ts`. Plain data.
 */
export interface ResidualProcess {
  readonly smoothness: Smoothness
  /** The policies that it was conditioned on. */
  readonly kept: readonly KeptUnits[]
  /** t of each as measured. */
  readonly logRises: Float64Array
  /** Variance of each t around the process. */
  readonly noise: Float64Array
  /** The residual of a policy is the sum of its kernel with each sample times this. */
  readonly weights: Float64Array
}

export interface Smoothness {
  /** Share of a module over which its part of the residual changes. */
  readonly length: number
  /** Variance of the residual. */
  readonly variance: number
  /** Variance of a measured t around the process, as a multiple of `variance`. */
  readonly noiseRatio: number
}

/** What a process may be conditioned on: the newest policies, with their kernels for each length. */
export interface ResidualSamples {
  /** Indices of them among all samples, in order. */
  readonly members: readonly number[]
  readonly matrixOf: (length: number) => Float64Array
}

/** Of all samples. */
export interface Measured {
  /** t less what the curve says. */
  readonly residuals: Float64Array
  /** Standard deviation of t from having been measured on fewer windows. */
  readonly deviations: Float64Array
}

/** Of more policies the newest: a score asks about all of them, and rounds come ever closer to what a search looks for. */
const MOST_MEMBERS = 256
const LENGTHS = [0.1, 0.2, 0.3]
const NOISE_RATIOS = [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]
/** Of a t, where nothing is left to explain. */
const LEAST_VARIANCE = 1e-12

/** @param candidates indices of policies like those that will be asked about, in the order planned */
export function createResidualSamples(
  units: readonly number[],
  kept: readonly KeptUnits[],
  candidates: readonly number[],
): ResidualSamples {
  const members = candidates.slice(-MOST_MEMBERS)
  const levels = levelsOf(
    units,
    members.map((i) => kept[i] ?? []),
  )
  return { members, matrixOf: remember((length: number) => kernelMatrix(levels, units.length, length)) }
}

/**
 * The smoothness under which the residuals are likeliest (Rasmussen, Williams 2006, section 5.4.1), its variance in
 * closed form; null where there are too few of them.
 */
export function chooseSmoothness(samples: ResidualSamples, { residuals, deviations }: Measured): Smoothness | null {
  const { members } = samples
  const count = members.length
  if (count < 2) return null
  const places = [...members.keys()]
  const values = Float64Array.from(members, (i) => residuals[i] ?? 0)
  const scale = values.reduce((sum, value) => sum + value ** 2, LEAST_VARIANCE) / count
  let best: { readonly smoothness: Smoothness; readonly likelihood: number } | null = null
  for (const length of LENGTHS) {
    for (const noiseRatio of NOISE_RATIOS) {
      const factor = factorFor(samples, places, { length, noiseRatio, variance: scale }, deviations)
      if (!factor) continue
      const variance = dot(values, solveCholesky(factor, count, values)) / count + LEAST_VARIANCE
      let likelihood = (-count / 2) * Math.log(variance)
      for (let i = 0; i < count; i++) likelihood -= Math.log(factor[i * count + i] ?? 0)
      if (likelihood > (best?.likelihood ?? Number.NEGATIVE_INFINITY)) {
        best = { smoothness: { length, variance, noiseRatio }, likelihood }
      }
    }
  }
  return best?.smoothness ?? null
}

/**
 * Residuals of samples that are held out, from the other members; 0 of those that are no members.
 * @param heldOut indices among all samples
 */
export function predictHeldOut(
  samples: ResidualSamples,
  smoothness: Smoothness,
  { residuals, deviations }: Measured,
  heldOut: readonly number[],
): number[] {
  const { members } = samples
  const placeOf = new Map(members.map((i, place) => [i, place]))
  const asked = new Set(heldOut)
  const others = [...members.keys()].filter((place) => !asked.has(members[place] ?? -1))
  const factor = factorFor(samples, others, smoothness, deviations)
  const known = Float64Array.from(others, (place) => residuals[members[place] ?? 0] ?? 0)
  const weights = factor ? solveCholesky(factor, others.length, known) : new Float64Array(others.length)
  const matrix = samples.matrixOf(smoothness.length)
  return heldOut.map((index) => {
    const place = placeOf.get(index)
    if (place === undefined) return 0
    return others.reduce((sum, other, i) => sum + (weights[i] ?? 0) * entryOf(matrix, members.length, place, other), 0)
  })
}

/** Conditions the process on all members; null when rounding has spoilt the matrix. */
export function conditionProcess(
  samples: ResidualSamples,
  smoothness: Smoothness,
  kept: readonly KeptUnits[],
  logRises: Float64Array,
  { residuals, deviations }: Measured,
): ResidualProcess | null {
  const { members } = samples
  const factor = factorFor(samples, [...members.keys()], smoothness, deviations)
  if (!factor) return null
  const of = (values: Float64Array) => Float64Array.from(members, (i) => values[i] ?? 0)
  return {
    smoothness,
    kept: members.map((i) => kept[i] ?? []),
    logRises: of(logRises),
    noise: of(deviations).map((deviation) => noiseVariance(smoothness, deviation)),
    weights: solveCholesky(factor, members.length, of(residuals)),
  }
}

function noiseVariance({ variance, noiseRatio }: Smoothness, deviation: number): number {
  return variance * noiseRatio + deviation ** 2
}

function factorFor(
  samples: ResidualSamples,
  places: readonly number[],
  smoothness: Smoothness,
  deviations: Float64Array,
): Float64Array | null {
  const [matrix, count, size] = [samples.matrixOf(smoothness.length), samples.members.length, places.length]
  const part = new Float64Array(size * size)
  for (let row = 0; row < size; row++) {
    const place = places[row] as number
    for (let column = 0; column <= row; column++) {
      part[row * size + column] = matrix[place * count + (places[column] as number)] as number
    }
  }
  const noise = Float64Array.from(places, (place) =>
    noiseVariance(smoothness, deviations[samples.members[place] ?? 0] ?? 0),
  )
  return factorWithNoise(part, noise, smoothness)
}

/** Factor of a kernel plus noise, both as multiples of the variance; overwrites the diagonal of the kernel. */
export function factorWithNoise(kernel: Float64Array, noise: Float64Array, { variance }: Smoothness) {
  const count = noise.length
  for (let i = 0; i < count; i++) {
    kernel[i * count + i] = (kernel[i * count + i] as number) + (noise[i] as number) / variance
  }
  return choleskyFactor(kernel, count)
}

function entryOf(matrix: Float64Array, count: number, a: number, b: number): number {
  return (a > b ? matrix[a * count + b] : matrix[b * count + a]) as number
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)
}
