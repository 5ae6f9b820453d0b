import { EspalierError, type ScoreResult } from '@espalier/contracts'
import type { Lease, Store } from '@espalier/store'
import { scorePolicies } from './score-policies.js'

export interface ScoreContext {
  readonly store: Pick<Store, 'predictors' | 'steps'>
}

/** Scores what the agent proposed in this round, in one batch. */
export async function processScore({ store }: ScoreContext, { searchId, round }: Lease<'score'>) {
  const started = performance.now()
  const proposed = await store.steps.findResult(searchId, 'propose', round, 0)
  if (!proposed) throw new EspalierError('INTERNAL', `Search ${searchId} has nothing proposed in round ${round}`)
  const onnx = await store.predictors.loadOnnx(searchId, round)
  const policies = proposed.targets.flatMap((target) => target.policies.map(({ keptUnits }) => keptUnits))
  const scores = await scorePolicies(onnx, policies)
  let next = 0
  const targets = proposed.targets.map((target) => {
    const first = next
    next += target.policies.length
    return { scores: scores.slice(first, next) }
  })
  const result: ScoreResult = { targets, policies: policies.length, seconds: (performance.now() - started) / 1000 }
  return { result, effects: {} }
}
