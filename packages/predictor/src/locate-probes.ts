import type { KeptUnits } from '@espalier/contracts'
import { logCoordinates, type ModuleScale, type ProbePoint } from './module-coordinates.js'

/** An evaluation on the predictor's scale. */
export interface Observation {
  readonly kept: KeptUnits
  /** Rise of log-perplexity over the dense model. */
  readonly rise: number
  /** Standard deviation of the rise from having been measured on fewer windows. */
  readonly deviation: number
  /** Measured to learn one module (or one block of modules of a kind). */
  readonly isProbe: boolean
}

/** A rise this small or smaller (also a negative one) only says that the module hardly matters. */
const SMALLEST_DAMAGE = 0.002

/** How far a module's damage in company may lie from its damage alone, standard deviation of the logarithm. */
const PROBED_SPREAD = 0.4
/** A block's rise is shared evenly, which its modules need not do. */
const BLOCK_SPREAD = 0.7
const KIND_SPREAD = 0.8
const UNKNOWN_SPREAD = 1.2

/** Damage of all modules together at 50 % each when nothing was probed, log-perplexity. */
const UNKNOWN_TOTAL_DAMAGE = 0.8

interface FoundProbe {
  readonly damage: number
  readonly spread: number
  /** Units kept where it was measured. */
  readonly kept: number
  /** Smaller is better: blocks after single modules, then distance from 50 %. */
  readonly rank: number
}

/**
 * Where every module's curve is anchored: at its own probe, else at its share of a block's probe, else at the typical
 * damage of its kind at 50 %, else at a guess.
 */
export function locateProbes(scale: ModuleScale, observations: readonly Observation[]): ProbePoint[] {
  const found = findProbes(scale, observations)
  return scale.units.map((units, module) => {
    const probe = found[module] ?? guessProbe(scale, found, module)
    const kept = Math.min(probe.kept, units - 1)
    const spread = Math.min(UNKNOWN_SPREAD, Math.hypot(probe.spread, SMALLEST_DAMAGE / probe.damage))
    return { damage: probe.damage, spread, ...logCoordinates(scale, module, kept) }
  })
}

function findProbes(scale: ModuleScale, observations: readonly Observation[]): (FoundProbe | undefined)[] {
  const found: (FoundProbe | undefined)[] = scale.units.map(() => undefined)
  for (const { kept, rise, deviation } of observations.filter(({ isProbe }) => isProbe)) {
    const pruned = [...kept.keys()].filter((module) => (kept[module] ?? 0) < (scale.units[module] ?? 0))
    if (new Set(pruned.map((module) => scale.kinds[module])).size !== 1) continue
    const isBlock = pruned.length > 1
    for (const module of pruned) {
      const units = scale.units[module] ?? 1
      const rank = pruned.length + Math.abs(0.5 - (kept[module] ?? 0) / units)
      if (rank >= (found[module]?.rank ?? Number.POSITIVE_INFINITY)) continue
      const damage = Math.max(rise / pruned.length, SMALLEST_DAMAGE / (isBlock ? pruned.length : 1))
      const spread = Math.hypot(isBlock ? BLOCK_SPREAD : PROBED_SPREAD, deviation / Math.max(rise, SMALLEST_DAMAGE))
      found[module] = { damage, spread, kept: kept[module] ?? 0, rank }
    }
  }
  return found
}

function guessProbe(scale: ModuleScale, found: readonly (FoundProbe | undefined)[], module: number): FoundProbe {
  const kept = Math.floor((scale.units[module] ?? 0) / 2)
  const sameKind = found.filter((probe, other) => probe && scale.kinds[other] === scale.kinds[module])
  if (sameKind.length === 0) {
    return { damage: UNKNOWN_TOTAL_DAMAGE / scale.units.length, spread: UNKNOWN_SPREAD, kept, rank: 0 }
  }
  const meanLog = sameKind.reduce((sum, probe) => sum + Math.log(probe?.damage ?? 1), 0) / sameKind.length
  return { damage: Math.exp(meanLog), spread: KIND_SPREAD, kept, rank: 0 }
}
