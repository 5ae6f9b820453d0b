import { trainPredictor } from '@espalier/predictor'
import { createPolicyRules, createRandomGenerator } from '@espalier/pruning'
import { KeptPredictor } from '../../apps/predictor-worker/dist/kept-predictor.js'
import { processScore } from '../../apps/predictor-worker/dist/process-score.js'
import { median } from '../search/median.mjs'
import { createSearch, planOf, withServiceDatabase } from './service-database.mjs'
import { denseAndProbes } from './simulated-model.mjs'
import { stopwatch } from './stopwatch.mjs'

const claim = { workerId: 'bench', leaseMs: 600_000 }

/**
 * Scores batches of policies as a predictor worker does: reads the batch and the predictor from Postgres, scores, and
 * stores the scores.
 * @returns for predictors that the worker trained itself, and for those that it has to read, the median of the batches,
 *   seconds of the clock and of the processor of this process
 */
export function scoreBatches(simulated, settings, policies, batches) {
  return withServiceDatabase(async ({ store }) => {
    const { id } = await createSearch(store, simulated.shape, settings)
    const predictor = trainOn(simulated, settings)
    const times = { trained: [], read: [] }
    for (let batch = 0; batch < 2 * batches; batch++) {
      const round = batch + 1
      const by = batch % 2 === 0 ? 'trained' : 'read'
      const kept = new KeptPredictor()
      const effects = { parameters: predictor.toJSON(), onnx: predictor.toOnnx(), summary: predictor.summary }
      const training = await claimStep(store, id, 'train', round)
      if (by === 'trained') await kept.keep(training, effects.onnx)
      await store.steps.complete(training, { ...predictor.summary, seconds: 0 }, { predictor: effects })
      const result = { targets: drawBatch(simulated, settings, policies, round), backend: 'none', seconds: 0 }
      await store.steps.complete(await claimStep(store, id, 'propose', round), result, { generator: null })
      const lease = await claimStep(store, id, 'score', round)
      const scoring = stopwatch()
      const scored = await processScore({ store, kept }, lease)
      await store.steps.complete(lease, scored.result, scored.effects)
      times[by].push(scoring())
      await kept.release()
    }
    return Object.entries(times).map(([predictor, measured]) => ({
      policies,
      predictor,
      clock: median(measured.map(({ clock }) => clock)),
      processor: median(measured.map(({ processor }) => processor)),
    }))
  })
}

async function claimStep(store, searchId, kind, round) {
  const payload = kind === 'propose' ? { count: 1, incumbents: [] } : {}
  const { created } = await store.searches.advance(searchId, () => planOf([{ kind, round, index: 0, payload }]))
  return store.steps.claim(created[0].id, claim)
}

function trainOn({ model, rankings, evaluate }, settings) {
  const evaluations = evaluate(denseAndProbes(model), settings)
  return trainPredictor({ model, rankings, evaluations, seed: settings.seed })
}

function drawBatch({ shape }, settings, policies, round) {
  const { targets } = createPolicyRules(shape, settings)
  const random = createRandomGenerator(round, 'batch')
  const share = Math.ceil(policies / targets.length)
  return targets.map((target, index) => ({
    policies: Array.from({ length: Math.min(share, policies - index * share) }, () => ({
      keptUnits: [...target.random(random)],
      origin: 'random',
    })),
  }))
}
