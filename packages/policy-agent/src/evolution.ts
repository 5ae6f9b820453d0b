import type { RandomGenerator } from '@espalier/pruning'
import { at, type MutableUnits, type PolicySpace } from './policy-space.js'
import { rankDistinct, type ScoredPolicy, type Scorer } from './scored-policy.js'

const CROSSOVER_SHARE = 0.3
const MOST_TRANSFERS = 3
/** Largest transfer of a mutation, as a share of a module. */
const LARGEST_TRANSFER = 1 / 4

/**
 * Evolution with truncation: each generation the population and as many children, the best distinct ones survive. A
 * child is a parent (two draws, the better one), sometimes crossed with another, with a few transfers of parameters
 * between two modules, brought back to the sparsity.
 * @returns the last population, best first
 */
export function evolve(
  space: PolicySpace,
  score: Scorer,
  initial: readonly ScoredPolicy[],
  { size, scores }: { size: number; scores: number },
  random: RandomGenerator,
): ScoredPolicy[] {
  let population = rankDistinct(initial).slice(0, size)
  for (let scored = 0; scored < scores; scored += size) {
    const children = Array.from({ length: size }, (): ScoredPolicy => {
      const parent = population[Math.min(random.integer(population.length), random.integer(population.length))]
      const kept = parent ? [...parent.kept] : []
      const other = population[random.integer(population.length)]
      if (other && random.uniform() < CROSSOVER_SHARE) cross(kept, other.kept, random)
      mutate(space, kept, random)
      return { kept, score: score(kept), origin: 'evolution' }
    })
    population = rankDistinct([...population, ...children]).slice(0, size)
  }
  return population
}

/** Each module from either parent. */
function cross(kept: MutableUnits, other: readonly number[], random: RandomGenerator): void {
  for (let m = 0; m < kept.length; m++) if (random.uniform() < 0.5) kept[m] = at(other, m)
}

/** One to three transfers, then back to the sparsity. */
export function mutate(space: PolicySpace, kept: MutableUnits, random: RandomGenerator): void {
  if (space.free.length === 0) return
  const transfers = 1 + random.integer(MOST_TRANSFERS)
  for (let transfer = 0; transfer < transfers; transfer++) {
    const giver = at(space.free, random.integer(space.free.length))
    const taker = at(space.free, random.integer(space.free.length))
    if (giver !== taker) transferUnits(space, kept, giver, taker, random)
  }
  space.repair(kept, random)
}

/** Moves parameters from one module to another; sizes are spread evenly on a logarithmic scale, so small ones are common. */
function transferUnits(
  space: PolicySpace,
  kept: MutableUnits,
  giver: number,
  taker: number,
  random: RandomGenerator,
): void {
  const largest = Math.max(1, at(space.units, taker) * LARGEST_TRANSFER)
  const step = at(space.step, taker)
  const wanted = step * Math.ceil(Math.floor(largest ** random.uniform()) / step)
  const taken = Math.min(wanted, at(space.units, taker) - at(kept, taker))
  const parameters = taken * at(space.unitParameters, taker)
  const given = Math.round(parameters / at(space.unitParameters, giver))
  kept[taker] = at(kept, taker) + taken
  kept[giver] = Math.max(at(space.minimum, giver), at(kept, giver) - given)
}
