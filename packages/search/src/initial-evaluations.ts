import type { EvaluatePayload, EvaluationPurpose, KeptUnits, NewStep } from '@espalier/contracts'
import { createRandomGenerator, sparsityOf } from '@espalier/pruning'
import type { BudgetPlan } from './plan-budget.js'
import { probePolicies } from './probe-policies.js'
import { policyKey, type SearchView } from './search-view.js'

/** How often a random policy is drawn again when it was drawn already: tiny models have few policies. */
const RANDOM_ATTEMPTS = 20

/** Evaluations before the first round: dense, uniform for every target, probes, random policies. */
export function initialEvaluations(view: SearchView, budget: BudgetPlan): NewStep<'evaluate'>[] {
  const { model, settings } = view
  const dense = model.modules.map((module) => module.units)
  const payloads = new EvaluationList(view)
  payloads.add('dense', null, dense)
  view.rules.targets.forEach((target, index) => {
    payloads.add('uniform', index, target.uniform())
  })
  for (const kept of probePolicies(model, budget.probeLayers, view.rules.allowed)) {
    payloads.add('probe', null, kept, null, budget.probeWindows)
  }
  for (let index = 0; index < budget.randoms; index++) {
    const targetIndex = index % settings.targets.length
    addRandomPolicy(payloads, view, targetIndex, index)
  }
  return payloads.steps(0)
}

/** A list of evaluations, on the windows of the search unless said otherwise, in which no policy stands twice. */
export class EvaluationList {
  readonly #view: SearchView
  readonly #payloads = new Map<string, EvaluatePayload>()

  constructor(view: SearchView) {
    this.#view = view
  }

  /** @returns false when the policy is in the list already */
  add(
    purpose: EvaluationPurpose,
    targetIndex: number | null,
    kept: KeptUnits,
    predicted: EvaluatePayload['predicted'] = null,
    windows = this.#view.settings.validationWindows,
  ): boolean {
    const key = policyKey(kept)
    if (this.#payloads.has(key)) return false
    this.#payloads.set(key, {
      purpose,
      targetIndex,
      keptUnits: [...kept],
      sparsity: sparsityOf(this.#view.model, kept),
      split: 'validation',
      windows,
      predicted,
    })
    return true
  }

  steps(round: number): NewStep<'evaluate'>[] {
    return [...this.#payloads.values()].map((payload, index) => ({ kind: 'evaluate', round, index, payload }))
  }
}

function addRandomPolicy(payloads: EvaluationList, view: SearchView, targetIndex: number, index: number): void {
  const random = createRandomGenerator(view.settings.seed, 'initial', index)
  const target = view.targetAt(targetIndex)
  for (let attempt = 0; attempt < RANDOM_ATTEMPTS; attempt++) {
    if (payloads.add('random', targetIndex, target.random(random))) return
  }
}
