import { EspalierError, type KeptUnits } from '@espalier/contracts'
import type { RandomGenerator } from '@espalier/pruning'
import { solveCholesky } from './linear-algebra.js'
import { createSimilarity, kernelMatrix, LEVELS, levelOf, levelsOf, ONE } from './residual-kernel.js'
import { factorWithNoise, type ResidualProcess } from './residual-process.js'

/** A residual of t for any policy, whose counts are not checked. */
export type Residual = (kept: ArrayLike<number>) => number

/** A residual process that can be asked. */
export interface ResidualSurface {
  createResidual(): Residual
  /**
   * One draw from the posterior, given a curve drawn beforehand, so that both together go through what was measured.
   * @param curveAt t of a sample by that curve
   * @param scale of its deviation from the mean
   */
  draw(random: RandomGenerator, curveAt: (kept: KeptUnits) => number, scale: number): Residual
}

/** Products of sums that a draw from the prior is made of. */
const PRODUCTS = 4

/** @param units units of each module */
export function createResidualSurface(units: readonly number[], process: ResidualProcess): ResidualSurface {
  const { smoothness, kept, logRises, noise, weights } = process
  const levels = levelsOf(units, kept)
  const similarities = createSimilarities(levels, units.length, smoothness.length)
  let factor: Float64Array | null = null
  const residualFor = (given: Float64Array) => createResidual(units, similarities, given)
  return {
    createResidual: () => residualFor(weights),
    draw(random, curveAt, scale) {
      factor ??= factorOf(process, levels, units.length)
      const prior = drawPrior(units, smoothness.length, scale * Math.sqrt(smoothness.variance), random)
      const rest = logRises.map((logRise, i) => {
        const policy = kept[i] ?? []
        const error = scale * Math.sqrt(noise[i] ?? 0) * random.normal()
        return logRise - curveAt(policy) - prior(policy) - error
      })
      const posterior = residualFor(solveCholesky(factor, kept.length, rest))
      return (policy) => prior(policy) + posterior(policy)
    },
  }
}

/** What the residual of any policy is made of. */
interface Similarities {
  /** Levels of the samples, one array a module. */
  readonly columns: readonly Uint8Array[]
  /** By the difference of two levels, from 1 - LEVELS to LEVELS - 1. */
  readonly byDifference: Int32Array
}

function createSimilarities(levels: Uint8Array, modules: number, length: number): Similarities {
  const similarity = createSimilarity(length)
  const samples = levels.length / modules
  return {
    columns: Array.from({ length: modules }, (_, module) =>
      Uint8Array.from({ length: samples }, (_, sample) => levels[sample * modules + module] as number),
    ),
    byDifference: Int32Array.from(
      { length: 2 * LEVELS - 1 },
      (_, place) => similarity[Math.abs(place - (LEVELS - 1))] as number,
    ),
  }
}

/**
 * Keeps the sums of an anchor: in each module the level on which the last two policies that were asked about agreed. An
 * agent asks about variations of one policy, which is where the anchor soon lies; each costs what it differs from it by.
 */
function createResidual(
  units: readonly number[],
  { columns, byDifference }: Similarities,
  weights: Float64Array,
): Residual {
  const [anchor, last] = [new Int32Array(units.length), new Int32Array(units.length).fill(-1)]
  const [sums, moved] = [new Int32Array(weights.length), new Int32Array(weights.length)]
  for (const column of columns) {
    for (let i = 0; i < sums.length; i++) {
      sums[i] = (sums[i] as number) + (byDifference[LEVELS - 1 - (column[i] as number)] as number)
    }
  }
  const scale = (ONE * units.length) ** -2
  return (kept) => {
    for (let module = 0; module < last.length; module++) {
      const level = levelOf(kept[module] as number, units[module] as number)
      const from = anchor[module] as number
      if (level !== last[module]) last[module] = level
      else if (level !== from) {
        moveSums(sums, sums, byDifference, columns[module] as Uint8Array, from, level)
        anchor[module] = level
      }
    }
    let current = sums
    for (let module = 0; module < last.length; module++) {
      const [from, level] = [anchor[module] as number, last[module] as number]
      if (level === from) continue
      moveSums(moved, current, byDifference, columns[module] as Uint8Array, from, level)
      current = moved
    }
    let residual = 0
    for (let i = 0; i < current.length; i++) {
      const sum = current[i] as number
      residual += (weights[i] as number) * (sum * sum)
    }
    return residual * scale
  }
}

/** Writes the sums of one module taken from a level to another. */
function moveSums(
  into: Int32Array,
  sums: Int32Array,
  byDifference: Int32Array,
  column: Uint8Array,
  from: number,
  to: number,
): void {
  const [fromStart, toStart] = [LEVELS - 1 + from, LEVELS - 1 + to]
  for (let i = 0; i < sums.length; i++) {
    const level = column[i] as number
    const moved = (byDifference[toStart - level] as number) - (byDifference[fromStart - level] as number)
    into[i] = (sums[i] as number) + moved
  }
}

function factorOf({ smoothness, noise }: ResidualProcess, levels: Uint8Array, modules: number): Float64Array {
  const factor = factorWithNoise(kernelMatrix(levels, modules, smoothness.length), noise, smoothness)
  if (!factor) throw new EspalierError('INTERNAL', 'The residual process of the predictor has no posterior')
  return factor
}

/**
 * A draw before anything is measured: the product of two sums over the modules, each with the kernel's root u as its
 * covariance, has the kernel as its own; a few of them are nearly normal. A module's part is a random Fourier feature of
 * its similarity (Rahimi, Recht 2007, section 3).
 */
function drawPrior(units: readonly number[], length: number, deviation: number, random: RandomGenerator): Residual {
  const features = Array.from({ length: 2 * PRODUCTS * units.length }, () => drawFeature(length, random))
  const last = new Int32Array(units.length)
  const sums = new Int32Array(2 * PRODUCTS)
  for (const [i, feature] of features.entries()) {
    const sum = Math.floor(i / units.length)
    sums[sum] = (sums[sum] as number) + (feature[0] as number)
  }
  const scale = (2 * deviation) / (ONE ** 2 * units.length * Math.sqrt(PRODUCTS))
  const move = (module: number, level: number, before: number) => {
    for (let i = 0; i < sums.length; i++) {
      const feature = features[i * units.length + module] as Int32Array
      sums[i] = (sums[i] as number) + (feature[level] as number) - (feature[before] as number)
    }
  }
  return (kept) => {
    for (let module = 0; module < last.length; module++) {
      const level = levelOf(kept[module] as number, units[module] as number)
      const before = last[module] as number
      if (level === before) continue
      last[module] = level
      move(module, level, before)
    }
    let residual = 0
    for (let i = 0; i < sums.length; i += 2) residual += (sums[i] as number) * (sums[i + 1] as number)
    return residual * scale
  }
}

/** cos(w z + p) in 1 / ONE at every level, w and p drawn: twice the mean product at two levels is their similarity. */
function drawFeature(length: number, random: RandomGenerator): Int32Array {
  const [frequency, phase] = [random.normal() / length, 2 * Math.PI * random.uniform()]
  const exact = (level: number) => Math.cos((frequency * level) / (LEVELS - 1) + phase)
  return Int32Array.from({ length: LEVELS }, (_, level) => Math.round(ONE * exact(level)))
}
