import { EspalierError } from '@espalier/contracts'
import type { TrainingEvaluation } from '@espalier/predictor'
import type { ArtifactStore } from '@espalier/runtime'
import type { EvaluationRow, Lease, Store } from '@espalier/store'
import { trainInThread } from './train-in-thread.js'

export interface TrainContext {
  readonly store: Pick<Store, 'evaluations' | 'steps'>
  readonly artifacts: Pick<ArtifactStore, 'path'>
}

/** Trains the predictor of a round on everything the search has measured before it. */
export async function processTrain(
  { store, artifacts }: TrainContext,
  { searchId, settings, model }: Lease<'train'>,
  { signal }: { readonly signal: AbortSignal },
) {
  const started = performance.now()
  const prepared = await store.steps.findResult(searchId, 'prepare', 0, 0)
  if (!prepared) throw new EspalierError('INTERNAL', `Search ${searchId} trains but was never prepared`)
  const evaluations = await store.evaluations.listForSearch(searchId)
  const predictor = await trainInThread(
    {
      shape: model.shape,
      metric: settings.metric,
      calibration: artifacts.path(prepared.calibration),
      evaluations: trainingEvaluations(evaluations, settings.validationWindows),
      seed: settings.seed,
    },
    signal,
  )
  const result = { ...predictor.summary, seconds: (performance.now() - started) / 1000 }
  return { result, effects: { predictor } }
}

/**
 * Those on the windows of the search, in an order that does not depend on which worker was quicker: sums of floats
 * and sampled trees would.
 */
function trainingEvaluations(rows: readonly EvaluationRow[], windows: number): TrainingEvaluation[] {
  return rows
    .filter((row) => row.split === 'validation' && row.windows === windows && row.purpose !== 'final')
    .map(({ purpose, keptUnits, logPerplexity }) => ({ purpose, kept: keptUnits, logPerplexity }))
    .sort((a, b) => compareUnits(a.kept, b.kept))
}

function compareUnits(a: readonly number[], b: readonly number[]): number {
  const differing = a.findIndex((count, index) => count !== b[index])
  return differing < 0 ? 0 : (a[differing] ?? 0) - (b[differing] ?? 0)
}
