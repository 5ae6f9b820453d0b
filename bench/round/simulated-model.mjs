import { createPrunableModel, createRandomGenerator, rankUnits } from '@espalier/pruning'

/** Log-perplexity of the dense model. */
const DENSE = 2.5
const NOISE = 0.001
/** How much neighbouring modules act together, as a share of what they do alone, standard deviation. */
const INTERACTION = 0.5

/**
 * A model that needs no measuring: damages of modules add up, those of neighbours act together, and the sum bends into
 * the rise of log-perplexity, with a little noise that follows from the policy. Middle layers matter least, as in real
 * models.
 */
export function createSimulatedModel(shape, seed) {
  const model = createPrunableModel(shape)
  const random = createRandomGenerator(seed, 'simulated-model')
  const damages = model.modules.map(({ layer, kind }) => {
    const depth = layer / Math.max(1, shape.layers - 1)
    const profile = 0.3 + 4 * (depth - 0.6) ** 2
    return ((kind === 'attention' ? 0.6 : 1) * profile * Math.exp(0.4 * random.normal())) / shape.layers
  })
  const rankings = model.modules.map(({ units }) =>
    rankUnits(Float64Array.from({ length: units }, () => Math.exp(1.2 * random.normal()))),
  )
  const interactions = damages.map(() => INTERACTION * random.normal())
  const simulated = { model, damages, interactions, rankings, seed }
  return {
    shape,
    model,
    rankings,
    measure: (payload, settings) => measure(simulated, payload, settings),
    /** What a predictor is trained on, of policies with their purpose. */
    evaluate: (policies, settings) =>
      policies.map((policy) => {
        const payload = { keptUnits: policy.kept, windows: settings.validationWindows, split: 'validation' }
        return { ...policy, logPerplexity: measure(simulated, payload, settings).logPerplexity }
      }),
  }
}

/** The dense model and one probe a module. */
export function denseAndProbes({ modules }) {
  const dense = modules.map(({ units }) => units)
  const probes = modules.map(({ index, units }) => ({
    purpose: 'probe',
    kept: dense.with(index, Math.round(units / 2)),
  }))
  return [{ purpose: 'dense', kept: dense }, ...probes]
}

/** What an evaluator would record. */
function measure({ model, damages, interactions, rankings, seed }, { keptUnits, windows, split }, { windowLength }) {
  const alone = model.modules.map(({ index }) => damages[index] * rankings[index].removedShare[keptUnits[index]] ** 1.3)
  const together = alone.map((damage, index) => interactions[index] * Math.sqrt(damage * (alone[index + 1] ?? 0)))
  const damage = Math.max(
    0,
    [...alone, ...together].reduce((sum, value) => sum + value, 0),
  )
  const random = createRandomGenerator(seed, 'noise', split, keptUnits.join())
  const logPerplexity = DENSE + 3 * damage ** 1.2 + NOISE * random.normal()
  const tokens = windowLength - 1
  const nll = Array.from({ length: windows }, (_, window) => tokens * (logPerplexity + 0.2 * Math.sin(window)))
  const mean = nll.reduce((sum, value) => sum + value, 0) / (windows * tokens)
  return { nll, tokens: windows * tokens, logPerplexity: mean, perplexity: Math.exp(mean), seconds: 0 }
}
