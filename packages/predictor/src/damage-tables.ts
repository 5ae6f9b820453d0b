import {
  type Contributions,
  type Curve,
  contribute,
  createContributions,
  growthAt,
  parametersOf,
} from './curve-model.js'

/** Every module's part for every count of kept units; module m's entry for k units is `offsets[m] + k`. */
export interface DamageTables extends Contributions {
  readonly offsets: Int32Array
}

/**
 * Tabulates a fitted curve. Removing more of a module never helps in the tables: where the formula's shape turns around
 * (few evaluations, far from the probe), the entry of the higher damage with fewer units removed stands for it.
 */
export function createDamageTables(curve: Curve, parameters: Float64Array): DamageTables {
  const { offsets } = curve.coordinates
  const size = curve.scale.units.reduce((sum, units) => sum + units + 1, 0)
  const tables = { offsets, ...createContributions(size) }
  for (const [module, units] of curve.scale.units.entries()) {
    const start = offsets[module] ?? 0
    for (let kept = units; kept >= 0; kept--) {
      const at = start + kept
      contribute(curve, parameters, module, kept, tables, at)
      if (kept === units || (tables.damage[at] ?? 0) >= (tables.damage[at + 1] ?? 0)) continue
      for (const table of [tables.damage, tables.logRatio, tables.mixtureSlope, tables.removedCentred]) {
        table[at] = table[at + 1] ?? 0
      }
    }
  }
  return tables
}

/**
 * log(d_m / s_m) of every entry of such tables, which takes no exponential: few entries of a curve that is drawn are ever
 * looked at. -Infinity where nothing is removed.
 */
export function createGrowthTable(curve: Curve, parameters: Float64Array): Float64Array {
  const { coordinates } = curve
  const table = new Float64Array(coordinates.removedCentred.length)
  for (const [module, units] of curve.scale.units.entries()) {
    const start = coordinates.offsets[module] ?? 0
    const own = parametersOf(curve, parameters, module)
    let highest = Number.NEGATIVE_INFINITY
    table[start + units] = highest
    for (let entry = start + units - 1; entry >= start; entry--) {
      highest = Math.max(highest, growthAt(coordinates, own, entry))
      table[entry] = highest
    }
  }
  return table
}
