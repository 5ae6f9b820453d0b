import { EspalierError } from '@espalier/contracts'
import type { PrunableModel } from '../prunable-model.js'
import { type ConstraintRule, domainsOf, exceeds } from './constraint-rules.js'
import { costOf } from './resource-cost.js'

/**
 * Refuses rules that no policy fulfils. Every cost grows with the units kept, so rules without limits leave one
 * smallest policy, and the limits can be kept exactly when that policy keeps them.
 * @throws EspalierError CONSTRAINTS_CONTRADICTORY with a smallest set that conflicts: without any one of it, the rest
 *   of the set can be fulfilled (deletion-based minimal unsatisfiable subset; Marques-Silva 2010, algorithm 1)
 */
export function checkFulfillable(rules: readonly ConstraintRule[], model: PrunableModel, ffnMayGo: boolean): void {
  if (isFulfillable(rules, model, ffnMayGo)) return
  let conflict = [...rules]
  for (const rule of rules) {
    const rest = conflict.filter((other) => other !== rule)
    if (!isFulfillable(rest, model, ffnMayGo)) conflict = rest
  }
  throw contradiction(conflict, model, ffnMayGo)
}

function isFulfillable(rules: readonly ConstraintRule[], model: PrunableModel, ffnMayGo: boolean): boolean {
  const { domains, empty } = domainsOf(rules, model, ffnMayGo)
  if (empty.length > 0) return false
  const smallest = domains.map(({ lowest }) => lowest)
  return rules.every(({ limit }) => limit === undefined || !exceeds(costOf(limit.cost, smallest), limit))
}

function contradiction(conflict: readonly ConstraintRule[], model: PrunableModel, ffnMayGo: boolean): EspalierError {
  const { domains, empty } = domainsOf(conflict, model, ffnMayGo)
  const smallest = domains.map(({ lowest }) => lowest)
  const exceeded = conflict.find(({ limit }) => limit && exceeds(costOf(limit.cost, smallest), limit))?.limit
  const reason =
    empty.length > 0 || !exceeded
      ? `no number of units is left for ${empty.slice(0, 3).join(', ')}${empty.length > 3 ? ` and ${empty.length - 3} more` : ''}`
      : `the smallest policy that the others leave has ${exceeded.cost.resource} ${costOf(exceeded.cost, smallest)}; at most ${exceeded.most} is allowed`
  const together = conflict.length === 1 ? 'This cannot be fulfilled' : 'These cannot be fulfilled together'
  return new EspalierError(
    'CONSTRAINTS_CONTRADICTORY',
    `${together}: ${conflict.map(({ name }) => name).join('; ')}. Of them, ${reason}`,
    {
      conflict: conflict.map(({ name, path }) => ({ name, path })),
      ...(empty.length > 0 || !exceeded
        ? { modules: empty }
        : { resource: exceeded.cost.resource, least: costOf(exceeded.cost, smallest), atMost: exceeded.most }),
    },
  )
}
