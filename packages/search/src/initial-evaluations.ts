import type { EvaluatePayload, EvaluationPurpose, KeptUnits, NewStep } from '@espalier/contracts'
import { createRandomGenerator, type PrunableModel, randomPolicy, sparsityOf, uniformPolicy } from '@espalier/pruning'
import type { BudgetPlan } from './plan-budget.js'
import { policyKey, type SearchView } from './search-view.js'

/** How often a random policy is drawn again when it was drawn already: tiny models have few policies. */
const RANDOM_ATTEMPTS = 20

/** Evaluations before the first round: dense, uniform for every target, probes, random policies. */
export function initialEvaluations(view: SearchView, budget: BudgetPlan): NewStep<'evaluate'>[] {
  const { model, settings } = view
  const dense = model.modules.map((module) => module.units)
  const payloads = new EvaluationList(view)
  payloads.add('dense', null, dense)
  settings.targets.forEach((target, index) => {
    payloads.add('uniform', index, uniformPolicy(model, target))
  })
  for (const kept of probePolicies(model, budget.probeLayers)) {
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

/** One policy a block of `probeLayers` neighbouring layers and kind, that block at half its units. */
function probePolicies(model: PrunableModel, probeLayers: number): KeptUnits[] {
  if (probeLayers === 0) return []
  const layers = model.modules.length / 2
  const policies: KeptUnits[] = []
  for (let first = 0; first < layers; first += probeLayers) {
    for (const kind of ['attention', 'ffn'] as const) {
      policies.push(
        model.modules.map((module) => {
          const probed = module.kind === kind && module.layer >= first && module.layer < first + probeLayers
          return probed ? Math.floor(module.units / 2) : module.units
        }),
      )
    }
  }
  return policies
}

function addRandomPolicy(payloads: EvaluationList, view: SearchView, targetIndex: number, index: number): void {
  const { settings, model } = view
  const random = createRandomGenerator(settings.seed, 'initial', index)
  const target = settings.targets[targetIndex] ?? 0
  for (let attempt = 0; attempt < RANDOM_ATTEMPTS; attempt++) {
    if (payloads.add('random', targetIndex, randomPolicy(model, target, random))) return
  }
}
