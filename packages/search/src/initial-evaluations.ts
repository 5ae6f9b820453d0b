import type { EvaluatePayload, EvaluationPurpose, KeptUnits, NewStep, PruningMethod } from '@espalier/contracts'
import { createRandomGenerator, sparsityOf } from '@espalier/pruning'
import { trialTargetIndex } from './choose-method.js'
import { policyKey } from './measurement.js'
import type { BudgetPlan } from './plan-budget.js'
import { probePolicies } from './probe-policies.js'
import type { SearchView } from './search-view.js'

/** How often a random policy is drawn again when it was drawn already: tiny models have few policies. */
const RANDOM_ATTEMPTS = 20

/** The uniform policy of the middle target under every metric: the first evaluations of a search that chooses one. */
export function trialEvaluations(view: SearchView): NewStep<'evaluate'>[] {
  const targetIndex = trialTargetIndex(view.rules.targets)
  const kept = view.targetAt(targetIndex).uniform()
  return view.trialMetrics.flatMap((metric, index) => {
    const list = new EvaluationList(view, { metric, compensation: view.compensation })
    list.add('trial', targetIndex, kept)
    return list.steps(0, index)
  })
}

/** Evaluations before the first round: dense, uniform for every target, probes, random policies. */
export function initialEvaluations(view: SearchView, budget: BudgetPlan, firstIndex: number): NewStep<'evaluate'>[] {
  const { model } = view
  const dense = model.modules.map((module) => module.units)
  const payloads = new EvaluationList(view, view.method)
  payloads.add('dense', null, dense)
  view.rules.targets.forEach((target, index) => {
    payloads.add('uniform', index, target.uniform())
  })
  for (const kept of probePolicies(model, budget.probeLayers, view.rules.allowed, budget.probedBefore)) {
    payloads.add('probe', null, kept, null, budget.probeWindows)
  }
  for (const [index, targetIndex] of targetsOfRandoms(view, budget.randoms).entries()) {
    addRandomPolicy(payloads, view, targetIndex, index)
  }
  return payloads.steps(0, firstIndex)
}

/** A list of evaluations, on the windows of the search unless said otherwise: no policy stands in it twice, and none that is measured. */
export class EvaluationList {
  readonly #view: SearchView
  readonly #method: PruningMethod
  readonly #payloads = new Map<string, EvaluatePayload>()

  constructor(view: SearchView, method: PruningMethod) {
    this.#view = view
    this.#method = method
  }

  /** @returns false when the policy is in the list already, or measured */
  add(
    purpose: EvaluationPurpose,
    targetIndex: number | null,
    kept: KeptUnits,
    predicted: EvaluatePayload['predicted'] = null,
    windows = this.#view.settings.validationWindows,
  ): boolean {
    const key = policyKey(kept)
    if (this.#payloads.has(key) || this.#isMeasured(kept, windows)) return false
    this.#payloads.set(key, {
      purpose,
      targetIndex,
      keptUnits: [...kept],
      sparsity: sparsityOf(this.#view.model, kept),
      split: 'validation',
      windows,
      predicted,
      method: this.#method,
    })
    return true
  }

  steps(round: number, firstIndex = 0): NewStep<'evaluate'>[] {
    return [...this.#payloads.values()].map((payload, position) => ({
      kind: 'evaluate',
      round,
      index: firstIndex + position,
      payload,
    }))
  }

  #isMeasured(kept: KeptUnits, windows: number): boolean {
    const measuredOn = (count: number) => this.#view.isMeasured(kept, 'validation', count)
    return measuredOn(windows) || measuredOn(this.#view.settings.validationWindows)
  }
}

/** Each random policy is for the target with the fewest heterogeneous ones so far, those of earlier searches included. */
function targetsOfRandoms(view: SearchView, count: number): number[] {
  const counts = view.settings.targets.map((_, index) => view.knowledge.heterogeneous[index] ?? 0)
  return Array.from({ length: count }, () => {
    const targetIndex = counts.indexOf(Math.min(...counts))
    counts[targetIndex] = (counts[targetIndex] ?? 0) + 1
    return targetIndex
  })
}

function addRandomPolicy(payloads: EvaluationList, view: SearchView, targetIndex: number, index: number): void {
  const random = createRandomGenerator(view.settings.seed, 'initial', index)
  const target = view.targetAt(targetIndex)
  for (let attempt = 0; attempt < RANDOM_ATTEMPTS; attempt++) {
    if (payloads.add('random', targetIndex, target.random(random))) return
  }
}
