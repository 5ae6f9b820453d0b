import { EspalierError, type ScoreResult } from '@espalier/contracts'
import type { Lease, Store } from '@espalier/store'
import type { InferenceSession } from 'onnxruntime-node'
import type { KeptPredictor } from './kept-predictor.js'
import { scorePolicies } from './score-policies.js'

export interface ScoreContext {
  readonly store: Pick<Store, 'predictors' | 'steps'>
  readonly kept: KeptPredictor
}

/** Scores what the agent proposed in this round, in one batch. */
export async function processScore(context: ScoreContext, lease: Lease<'score'>) {
  const started = performance.now()
  const { searchId, round } = lease
  const proposed = await context.store.steps.findResult(searchId, 'propose', round, 0)
  if (!proposed) throw new EspalierError('INTERNAL', `Search ${searchId} has nothing proposed in round ${round}`)
  const predictor = await openPredictor(context, lease)
  const policies = proposed.targets.flatMap((target) => target.policies.map(({ keptUnits }) => keptUnits))
  const scores = await scorePolicies(predictor, policies)
  let next = 0
  const targets = proposed.targets.map((target) => {
    const first = next
    next += target.policies.length
    return { scores: scores.slice(first, next) }
  })
  const result: ScoreResult = { targets, policies: policies.length, seconds: (performance.now() - started) / 1000 }
  return { result, effects: {} }
}

async function openPredictor(
  { store, kept }: ScoreContext,
  { searchId, round }: Lease<'score'>,
): Promise<InferenceSession> {
  const claim = await store.predictors.getClaim(searchId, round)
  return kept.find(claim) ?? (await kept.keep(claim, await store.predictors.loadOnnx(searchId, round)))
}
