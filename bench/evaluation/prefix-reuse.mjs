/**
 * How much faster policies are measured together than one by one: the probes of a search, one module each, and the
 * policies of its first round. Both are what `planNextSteps` and the agent give for the model, on the bundled texts.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { performStep } from '@espalier/experiments'
import { loadTokenizer } from '@espalier/model-graph'
import { createPrunableModel, rankModules, selectKeptIndices } from '@espalier/pruning'
import { planNextSteps } from '@espalier/search'

const texts = fileURLToPath(new URL('../../models/demo/texts/', import.meta.url))
const calibrationWindows = 4
/** The fastest time of so many counts where there are few policies. */
const roundsOfFew = 3

/** Ratios of seconds, one by one to together; fails unless every likelihood is the same both ways. */
export async function measurePrefixReuse({ evaluator, directory, shape, windowLength, windows }) {
  const model = createPrunableModel(shape)
  const tokenizer = await loadTokenizer(directory)
  const idsOf = (split) => tokenizer.encode(readFileSync(`${texts}${split}.txt`, 'utf8'))
  const calibration = await evaluator.calibrate({
    ids: await idsOf('calibration'),
    windowLength,
    windows: calibrationWindows,
  })
  const rankings = rankModules('wanda', calibration.modules, model)
  const request = { ids: await idsOf('validation'), windowLength, windows, calibration }
  const policiesOf = (steps) => steps.map(({ payload }) => selectKeptIndices(rankings, payload.keptUnits))
  const measureTogether = (steps) => evaluator.measureMany({ ...request, policies: policiesOf(steps) })

  const search = createSearch({ model, shape, rankings, windowLength, windows })
  const initial = await search.nextEvaluations()
  const probes = initial.filter(({ payload }) => payload.purpose === 'probe')
  const probePassSpeedup = await compare(evaluator, request, policiesOf(probes), 1)
  search.record(initial, await measureTogether(initial))
  const round = await search.nextEvaluations()
  const agentBatchSpeedup = await compare(evaluator, request, policiesOf(round), roundsOfFew)
  return { probePassSpeedup, agentBatchSpeedup, probes: probes.length, agentPolicies: round.length }
}

async function compare(evaluator, request, policies, rounds) {
  const fastest = { together: Number.POSITIVE_INFINITY, alone: Number.POSITIVE_INFINITY }
  for (let round = 0; round < rounds; round++) {
    const started = performance.now()
    const together = await evaluator.measureMany({ ...request, policies })
    const between = performance.now()
    for (const [index, keptIndices] of policies.entries()) {
      const { nll } = await evaluator.measure({ ...request, keptIndices })
      if (nll.some((value, window) => value !== together[index].nll[window])) {
        throw new Error(`Policy ${index} has other likelihoods together with others than alone`)
      }
    }
    fastest.together = Math.min(fastest.together, between - started)
    fastest.alone = Math.min(fastest.alone, performance.now() - between)
  }
  return fastest.alone / fastest.together
}

/** A search up to its first round; its budget is large enough for a probe a module. */
function createSearch({ model, shape, rankings, windowLength, windows }) {
  const settings = {
    targets: [0.2, 0.35, 0.5],
    budget: 2 * model.modules.length,
    seed: 1,
    agent: 'network',
    metric: 'wanda',
    compensation: 'mean',
    windowLength,
    calibrationWindows,
    validationWindows: windows,
    finalWindows: null,
    finalists: 0,
    minimumImprovement: 0,
    texts: {},
    exports: [],
  }
  const context = {
    model,
    settings,
    rankings: () => rankings,
    windows: { calibration: calibrationWindows, validation: windows, test: windows },
  }
  const steps = []
  let predictor
  return {
    /** Goes on until policies are to be evaluated, and gives these steps. */
    async nextEvaluations() {
      for (;;) {
        const plan = planNextSteps({ settings, shape, steps })
        if (plan.steps.every(({ kind }) => kind === 'evaluate')) return plan.steps
        for (const step of plan.steps) {
          const done = await performStep(context, steps, step, predictor)
          predictor = done.predictor ?? predictor
          steps.push(done.step)
        }
      }
    },
    record(evaluations, measured) {
      for (const [index, step] of evaluations.entries()) {
        steps.push({ ...step, state: 'DONE', result: measured[index], error: null })
      }
    },
  }
}
