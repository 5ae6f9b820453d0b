import { type Curve, parameter } from './curve-model.js'
import type { CurvePrior } from './fit-curve.js'
import type { PredictorState } from './predictor-state.js'

/** How far the log damage of a module may lie from that of a related model at its place, standard deviation. */
const SIBLING_SPREAD = 0.5
/** Curves of one family resemble each other more than those of any two models: their shape is known twice as well. */
const SHAPE_SHARE = 0.5

/**
 * What the fitted curve of a related model says before this one was measured. Its modules stand for this one's at the
 * same relative depth, of the same kind.
 *
 * - The shape (link, exponents, mixtures; steepness of modules) is expected where it was there.
 * - The profile of log damage over depth is combined with the probes of this model as two independent observations; its
 *   level, one number a kind, is what makes it fit the probes best, so a model that is hurt more by everything says
 *   nothing wrong.
 */
export function createTransferPrior(curve: Curve, cold: CurvePrior, related: PredictorState): CurvePrior {
  const modules = curve.scale.units.length
  const relatedModules = related.scale.units.length
  const means = cold.means.slice()
  const deviations = cold.deviations.slice()
  for (let k = 0; k < parameter.perModule; k++) {
    means[k] = related.parameters[k] ?? 0
    deviations[k] = (deviations[k] ?? 1) * SHAPE_SHARE
  }
  const [levels, bends] = [parameter.perModule, parameter.perModule + modules]
  for (const kind of [0, 1] as const) {
    const own = modulesOf(curve.scale.kinds, kind)
    const theirs = modulesOf(related.scale.kinds, kind)
    const profile = stretch(
      theirs.map((m) => Math.log(related.probes[m]?.damage ?? 1) + (related.parameters[levels + m] ?? 0)),
      own.length,
    )
    const steepness = stretch(
      theirs.map((m) => related.parameters[levels + relatedModules + m] ?? 0),
      own.length,
    )
    const differences = own.map((m, place) => Math.log(curve.probes[m]?.damage ?? 1) - (profile[place] ?? 0))
    const precisions = own.map((m) => 1 / ((cold.deviations[levels + m] ?? 1) ** 2 + SIBLING_SPREAD ** 2))
    const level = weightedMean(differences, precisions)
    for (const [place, m] of own.entries()) {
      const probed = (cold.deviations[levels + m] ?? 1) ** -2
      const told = SIBLING_SPREAD ** -2
      means[levels + m] = (told * (level - (differences[place] ?? 0))) / (probed + told)
      deviations[levels + m] = (probed + told) ** -0.5
      means[bends + m] = steepness[place] ?? 0
    }
  }
  return { means, deviations }
}

function modulesOf(kinds: readonly (0 | 1)[], kind: 0 | 1): number[] {
  return [...kinds.keys()].filter((module) => kinds[module] === kind)
}

/** Values at equal distances over the depth of a model, at `count` equal distances instead. */
function stretch(values: readonly number[], count: number): number[] {
  return Array.from({ length: count }, (_, place) => {
    const at = count > 1 ? (place / (count - 1)) * (values.length - 1) : (values.length - 1) / 2
    const [low, high] = [values[Math.floor(at)] ?? 0, values[Math.ceil(at)] ?? 0]
    return low + (at - Math.floor(at)) * (high - low)
  })
}

function weightedMean(values: readonly number[], weights: readonly number[]): number {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return values.reduce((sum, value, i) => sum + value * (weights[i] ?? 0), 0) / total
}
