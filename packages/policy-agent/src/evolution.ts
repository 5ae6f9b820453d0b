import type { RandomGenerator } from '@espalier/pruning'
import type { MutableUnits, PolicySpace } from './policy-space.js'
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
  for (let m = 0; m < kept.length; m++) if (random.uniform() < 0.5) kept[m] = other[m] as number
}

/**
 * One to three transfers, then back to the sparsity.
 * @param first modules before it stay as they are
 * @returns whether that could be done without them; else the units are of no use
 */
export function mutate(space: PolicySpace, kept: MutableUnits, random: RandomGenerator, first = 0): boolean {
  const { free } = space
  const start = countBefore(free, first)
  const choices = free.length - start
  if (choices === 0) return true
  const transfers = 1 + random.integer(MOST_TRANSFERS)
  for (let transfer = 0; transfer < transfers; transfer++) {
    const giver = free[start + random.integer(choices)] as number
    const taker = free[start + random.integer(choices)] as number
    if (giver !== taker) transferUnits(space, kept, giver, taker, random)
  }
  return space.repair(kept, random, first)
}

/** How many of the ascending module indices are below one. */
function countBefore(modules: Int32Array, first: number): number {
  let count = 0
  while (count < modules.length && (modules[count] as number) < first) count++
  return count
}

/** Moves parameters from one module to another; sizes are spread evenly on a logarithmic scale, so small ones are common. */
function transferUnits(
  space: PolicySpace,
  kept: MutableUnits,
  giver: number,
  taker: number,
  random: RandomGenerator,
): void {
  const { units, minimum, step: steps, unitParameters } = space
  const takerUnits = units[taker] as number
  const largest = Math.max(1, takerUnits * LARGEST_TRANSFER)
  const step = steps[taker] as number
  const wanted = step * Math.ceil(Math.floor(largest ** random.uniform()) / step)
  const taken = Math.min(wanted, takerUnits - (kept[taker] as number))
  const parameters = taken * (unitParameters[taker] as number)
  const given = Math.round(parameters / (unitParameters[giver] as number))
  kept[taker] = (kept[taker] as number) + taken
  kept[giver] = Math.max(minimum[giver] as number, (kept[giver] as number) - given)
}
