/**
 * Additive knapsack: one probe a module at half its units gives that module's damage there, the metric's importance
 * gives its growth from none to all units, and damages are taken to add up:
 *   damage_m(kept) = probe_m * (removedImportance_m(kept) / removedImportance_m(half)) ^ growth.
 * For a target the policy with the least sum is found: units go where the damage a parameter is least, then units are
 * exchanged between modules as long as that helps. The dense model and the probes serve all targets; what is left of
 * the evaluations goes to other growths, and the best measured policy counts.
 */
import { denseUnits, minimumUnitsOf, parametersToRemove, projectToSparsity } from '@espalier/pruning'

const GROWTHS = [1, 1.5, 0.75, 2]
/** An exchange moves this share of a feed-forward block, or one KV group and channels of the same size. */
const EXCHANGE_SHARES = [1 / 8, 1 / 32, 1 / 128]

export const knapsack = {
  name: 'knapsack',
  seeded: false,
  async search({ model, rankings, targets, evaluations, measure }) {
    const shared = 1 + model.modules.length
    const left = Math.floor((evaluations * targets.length - shared) / targets.length)
    if (left < 1) return `needs ${shared + targets.length} evaluations in all: one a module, dense, one a target`
    const probes = await measureProbes(model, measure)
    for (const target of targets) {
      const policies = GROWTHS.slice(0, left).map((growth) =>
        leastDamage(model, tabulateDamage(model, rankings, probes, growth), target),
      )
      await measure(distinct(policies), target)
    }
  },
}

/** Rise of log-perplexity when a module keeps half its units. */
async function measureProbes(model, measure) {
  const dense = denseUnits(model)
  const probes = model.modules.map(({ index, units }) => dense.map((all, m) => (m === index ? units >> 1 : all)))
  const [base, ...rises] = await measure([dense, ...probes])
  return rises.map((logPerplexity) => Math.max(0, logPerplexity - base))
}

function tabulateDamage({ modules }, rankings, probes, growth) {
  return modules.map(({ index, units }) => {
    const { removedShare } = rankings[index]
    const half = removedShare[units >> 1]
    return Float64Array.from(removedShare, (share) => (half > 0 ? probes[index] * (share / half) ** growth : 0))
  })
}

function leastDamage(model, damage, target) {
  const kept = removeCheapest(model, damage, parametersToRemove(model, target))
  const policy = [...projectToSparsity(model, kept, target)]
  const total = (policy) => policy.reduce((sum, count, m) => sum + damage[m][count], 0)
  for (let best = total(policy); ; ) {
    const better = findExchange(model, policy, target, total, best)
    if (!better) return policy
    policy.splice(0, policy.length, ...better)
    best = total(better)
  }
}

/** Takes units, one after another, where they cost the least damage a parameter. */
function removeCheapest({ modules }, damage, parameters) {
  const kept = modules.map(({ units }) => units)
  const costOf = ({ index, parametersPerUnit }) =>
    (damage[index][kept[index] - 1] - damage[index][kept[index]]) / parametersPerUnit
  for (let left = parameters; ; ) {
    let cheapest
    for (const module of modules) {
      if (kept[module.index] <= minimumUnitsOf(module) || module.parametersPerUnit > left) continue
      if (!cheapest || costOf(module) < costOf(cheapest)) cheapest = module
    }
    if (!cheapest) return kept
    kept[cheapest.index]--
    left -= cheapest.parametersPerUnit
  }
}

/** The exchange between two modules that helps most, or undefined; the projection keeps the sparsity exact. */
function findExchange(model, policy, target, total, best) {
  let found
  let least = best - 1e-9
  for (const giver of model.modules) {
    for (const taker of model.modules) {
      if (giver === taker) continue
      for (const share of EXCHANGE_SHARES) {
        const exchanged = exchange(policy, giver, taker, share)
        if (!exchanged) continue
        const projected = projectToSparsity(model, exchanged, target)
        if (total(projected) >= least) continue
        least = total(projected)
        found = projected
      }
    }
  }
  return found
}

function exchange(policy, giver, taker, share) {
  const attention = [giver, taker].find(({ kind }) => kind === 'attention')
  const parameters = attention ? attention.parametersPerUnit : giver.units * share * giver.parametersPerUnit
  const given = Math.max(1, Math.round(parameters / giver.parametersPerUnit))
  const taken = Math.max(1, Math.round(parameters / taker.parametersPerUnit))
  if (policy[giver.index] - given < minimumUnitsOf(giver) || policy[taker.index] + taken > taker.units) return undefined
  const exchanged = [...policy]
  exchanged[giver.index] -= given
  exchanged[taker.index] += taken
  return exchanged
}

const distinct = (policies) => [...new Map(policies.map((policy) => [policy.join(), policy])).values()]
