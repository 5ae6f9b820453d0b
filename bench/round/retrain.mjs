import { trainPredictor } from '@espalier/predictor'
import { createPolicyRules, createRandomGenerator } from '@espalier/pruning'
import { median } from '../search/median.mjs'
import { denseAndProbes } from './simulated-model.mjs'
import { stopwatch } from './stopwatch.mjs'

/** Processor seconds of training on so many evaluations: the dense model, probes, and random policies; the median of a few. */
export function retrain({ shape, model, rankings, evaluate }, settings, count, repeats) {
  const { targets } = createPolicyRules(shape, settings)
  const random = createRandomGenerator(1, 'retrain')
  const policies = denseAndProbes(model)
  while (policies.length < count)
    policies.push({ purpose: 'random', kept: targets[policies.length % targets.length].random(random) })
  const evaluations = evaluate(policies.slice(0, count), settings)
  const seconds = Array.from({ length: repeats }, () => {
    const training = stopwatch()
    trainPredictor({ model, rankings, evaluations, seed: settings.seed })
    return training().processor
  })
  return { evaluations: count, train: median(seconds) }
}
