import { EspalierError, methodOf, searchDefaults } from '@espalier/contracts'
import type { ArtifactStore } from '@espalier/runtime'
import { TrainingSelection, trainingEvaluations } from '@espalier/search'
import type { Lease, Store } from '@espalier/store'
import type { KeptPredictor } from './kept-predictor.js'
import { trainInThread } from './train-in-thread.js'

export interface TrainContext {
  readonly store: Pick<Store, 'predictors' | 'searches' | 'steps'>
  readonly artifacts: Pick<ArtifactStore, 'path'>
  readonly kept: KeptPredictor
}

/** Trains the predictor of a round on everything the search has measured before it or started from. */
export async function processTrain(
  { store, artifacts, kept }: TrainContext,
  lease: Lease<'train'>,
  { signal }: { readonly signal: AbortSignal },
) {
  const started = performance.now()
  const { searchId, settings, model } = lease
  const method = methodOf(lease)
  const prepared = await store.steps.findResult(searchId, 'prepare', 0, 0)
  if (!prepared) throw new EspalierError('INTERNAL', `Search ${searchId} trains but was never prepared`)
  const selection = new TrainingSelection()
  for await (const step of store.searches.readSteps(searchId)) selection.add(step)
  const earlier = await store.searches.loadEarlier(searchId)
  const predictor = await trainInThread(
    {
      kind: settings.predictor ?? searchDefaults.predictor,
      shape: model.shape,
      metric: method.metric,
      calibration: artifacts.path(prepared.calibration),
      evaluations: trainingEvaluations(selection.steps, settings, method, earlier),
      seed: settings.seed,
      related: await store.predictors.findRelated(searchId),
    },
    signal,
  )
  await kept.keep(lease, predictor.onnx)
  const result = { ...predictor.summary, seconds: (performance.now() - started) / 1000 }
  return { result, effects: { predictor } }
}
