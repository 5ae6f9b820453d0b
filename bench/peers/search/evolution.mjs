/**
 * (1 + lambda) evolution on real evaluations, after EvoPress (arXiv 2410.14649): from the uniform policy on, each
 * offspring has a few level switches. A switch takes a level from one module and gives it to another, and the
 * projection takes up what rounding leaves, so the sparsity stays as it is. The fittest of parent and offspring is the
 * next parent.
 */
import { minimumUnitsOf, projectToSparsity, uniformPolicy } from '@espalier/pruning'

const OFFSPRING = 4
/** A level: a KV group, or this share of the channels of a feed-forward block. */
const LEVEL_SHARE = 0.1
const MOST_SWITCHES = 3
/** Random pairs of modules that are tried for one switch: a pair may have nothing to take or no room to give. */
const ATTEMPTS = 100

export const evolution = {
  name: 'evolution',
  seeded: true,
  async search({ model, targets, evaluations, randomFor, measure }) {
    for (const target of targets) {
      const generator = randomFor(target)
      let parent = { kept: uniformPolicy(model, target) }
      parent.logPerplexity = (await measure([parent.kept], target))[0]
      for (let done = 1; done < evaluations; done += OFFSPRING) {
        const count = Math.min(OFFSPRING, evaluations - done)
        const offspring = Array.from({ length: count }, () =>
          projectToSparsity(model, switchLevels(model, parent.kept, generator), target),
        )
        const measured = await measure(offspring, target)
        for (const [index, logPerplexity] of measured.entries()) {
          if (logPerplexity < parent.logPerplexity) parent = { kept: offspring[index], logPerplexity }
        }
      }
    }
  },
}

/** One to three switches, fewer ones more often: the lesser of two draws, as EvoPress draws. */
function switchLevels({ modules }, parent, generator) {
  const kept = [...parent]
  const switches = 1 + Math.min(generator.integer(MOST_SWITCHES), generator.integer(MOST_SWITCHES))
  for (let done = 0, attempt = 0; done < switches && attempt < ATTEMPTS; attempt++) {
    const giver = modules[generator.integer(modules.length)]
    const taker = modules[generator.integer(modules.length)]
    const parameters = Math.max(levelOf(giver), levelOf(taker))
    const given = Math.round(parameters / giver.parametersPerUnit)
    const taken = Math.round(parameters / taker.parametersPerUnit)
    const fits = kept[giver.index] - given >= minimumUnitsOf(giver) && kept[taker.index] + taken <= taker.units
    if (giver === taker || !fits) continue
    kept[giver.index] -= given
    kept[taker.index] += taken
    done++
  }
  return kept
}

/** Parameters of a level. A switch between blocks of both kinds moves the larger one. */
function levelOf({ kind, units, parametersPerUnit }) {
  return parametersPerUnit * (kind === 'attention' ? 1 : Math.max(1, Math.round(units * LEVEL_SHARE)))
}
