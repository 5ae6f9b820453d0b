import { performStep } from '@espalier/experiments'
import { createPolicyRules } from '@espalier/pruning'
import { planNextSteps } from '@espalier/search'
import { stopwatch } from './stopwatch.mjs'

/** Windows of each text. */
const WINDOWS = 64

/**
 * A search up to the end of a round, in one process, everything as in the service but the evaluations, which are
 * simulated.
 * @returns how many evaluations there were, and for each round the seconds of planning, training, proposing and scoring
 */
export async function runRounds(simulated, settings, rounds) {
  const { shape, model, rankings } = simulated
  const windows = { calibration: WINDOWS, validation: WINDOWS, test: WINDOWS }
  const search = { model, settings, windows, rules: createPolicyRules(shape, settings), rankings: () => rankings }
  const steps = []
  const seconds = Array.from({ length: rounds }, () => ({ plan: 0, train: 0, propose: 0, score: 0 }))
  let predictor
  for (;;) {
    const planning = stopwatch()
    const plan = planNextSteps({ settings, shape, steps })
    const round = seconds[plan.steps[0]?.round - 1]
    if (round) round.plan += planning().processor
    if (!plan.steps.some((step) => step.round <= rounds)) break
    for (const step of plan.steps) {
      if (step.kind === 'evaluate') {
        steps.push({ ...step, state: 'DONE', result: simulated.measure(step.payload, settings), error: null })
        continue
      }
      const working = stopwatch()
      const done = await performStep(search, steps, step, predictor)
      predictor = done.predictor ?? predictor
      if (round) round[step.kind] += working().processor
      steps.push(done.step)
    }
  }
  return { evaluations: steps.filter(({ kind }) => kind === 'evaluate').length, rounds: seconds }
}
