import { trainPredictor } from '@espalier/predictor'
import { createPolicyRules, createRandomGenerator } from '@espalier/pruning'
import { median, stopwatch } from './stopwatch.mjs'

/** Processor seconds of training on so many evaluations: the dense model, probes, and random policies; the median of a few. */
export function retrain({ shape, model, rankings, measure }, settings, count, repeats) {
  const { targets } = createPolicyRules(shape, settings)
  const random = createRandomGenerator(1, 'retrain')
  const dense = model.modules.map(({ units }) => units)
  const policies = [
    { purpose: 'dense', kept: dense },
    ...model.modules.map(({ index, units }) => ({ purpose: 'probe', kept: dense.with(index, Math.round(units / 2)) })),
  ]
  while (policies.length < count)
    policies.push({ purpose: 'random', kept: targets[policies.length % targets.length].random(random) })
  const evaluations = policies.slice(0, count).map((policy) => {
    const payload = { keptUnits: policy.kept, windows: settings.validationWindows, split: 'validation' }
    return { ...policy, logPerplexity: measure(payload, settings).logPerplexity }
  })
  const seconds = Array.from({ length: repeats }, () => {
    const training = stopwatch()
    trainPredictor({ model, rankings, evaluations, seed: settings.seed })
    return training().processor
  })
  return { evaluations: count, train: median(seconds) }
}
