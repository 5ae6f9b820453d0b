import type { EvaluateResult, ExportResult, PrepareResult, StepKind, StepResult } from '@espalier/contracts'
import { saveCalibration } from './calibrations.js'
import type { Queryable } from './database.js'
import { createId } from './ids.js'
import { toJson, toNullableJson } from './json.js'
import { keptHashOf } from './kept-hash.js'
import type { EffectsOfStep, Lease, NewEvent, StepEffects } from './records.js'

type RecordKind<K extends StepKind> = (
  tx: Queryable,
  lease: Lease<K>,
  result: StepResult<K>,
  effects: EffectsOfStep[K],
) => Promise<readonly NewEvent[]>

const recorders: { readonly [K in StepKind]: RecordKind<K> } = {
  prepare: recordPreparation,
  evaluate: recordEvaluation,
  train: recordPredictor,
  export: recordArtifact,
  propose: recordGenerator,
  score: async () => [],
}

/**
 * Writes the rows that follow from the result of a step; returns the events that tell of it.
 * Rows that exist already are left alone.
 */
export function recordEffects<K extends StepKind>(
  tx: Queryable,
  lease: Lease<K>,
  result: StepResult<K>,
  effects: StepEffects<K>,
): Promise<readonly NewEvent[]> {
  const record: RecordKind<K> = recorders[lease.kind as K]
  return record(tx, lease, result, effects)
}

async function recordPreparation(
  tx: Queryable,
  { teamId, searchId, model }: Lease<'prepare'>,
  { modelHash }: PrepareResult,
  { calibration, shape }: EffectsOfStep['prepare'],
) {
  const opened = { hash: modelHash, ...(shape === null ? {} : { shape: toJson(shape) }) }
  await tx.model.updateMany({ where: { id: model.id, hash: null }, data: opened })
  // What evaluators need follows from the shape: it is written anew with the plan of the next steps.
  if (shape !== null) await tx.search.update({ where: { id: searchId }, data: { memoryNeeds: toNullableJson(null) } })
  await saveCalibration(tx, teamId, calibration)
  return []
}

async function recordEvaluation(
  tx: Queryable,
  lease: Lease<'evaluate'>,
  result: EvaluateResult,
  { protocol }: EffectsOfStep['evaluate'],
) {
  const { searchId, teamId, stepId, payload, round } = lease
  const { purpose, targetIndex, split, windows, predicted, sparsity } = payload
  const { perplexity, logPerplexity } = result
  const policy = await tx.policy.findUniqueOrThrow({
    where: { searchId_keptHash: { searchId, keptHash: keptHashOf(payload) } },
    select: { id: true },
  })
  await tx.evaluation.createMany({
    data: {
      id: createId('eva'),
      ...{ searchId, teamId, stepId, policyId: policy.id },
      ...{ purpose, targetIndex, split, windows, logPerplexity, perplexity },
      nll: toJson(result.nll),
      predicted: toNullableJson(predicted),
      protocol: toJson(protocol),
      workerId: lease.workerId,
      fencingToken: lease.fencingToken,
      computeSeconds: result.seconds,
    },
    skipDuplicates: true,
  })
  const data = { policyId: policy.id, round, purpose, targetIndex, split, windows, sparsity, perplexity, predicted }
  return [{ type: 'evaluation', data }]
}

async function recordPredictor(
  tx: Queryable,
  { searchId, teamId, round }: Lease<'train'>,
  _result: StepResult<'train'>,
  { predictor }: EffectsOfStep['train'],
) {
  await tx.predictor.createMany({
    data: {
      id: createId('pre'),
      ...{ searchId, teamId, round },
      parameters: toJson(predictor.parameters),
      onnx: new Uint8Array(predictor.onnx),
      summary: toJson(predictor.summary),
    },
    skipDuplicates: true,
  })
  return []
}

async function recordGenerator(
  tx: Queryable,
  { searchId, teamId, round }: Lease<'propose'>,
  _result: StepResult<'propose'>,
  { generator }: EffectsOfStep['propose'],
) {
  if (generator === null) return []
  const data = { id: createId('gen'), searchId, teamId, round, artifact: generator }
  await tx.generator.createMany({ data, skipDuplicates: true })
  return []
}

async function recordArtifact(tx: Queryable, { searchId, teamId, payload }: Lease<'export'>, result: ExportResult) {
  const { directory, parameters, compensationWritten, note, perplexity, expectedPerplexity } = result
  const { targetIndex, format } = payload
  const id = createId('art')
  await tx.artifact.createMany({
    data: {
      ...{ id, searchId, teamId, targetIndex, format },
      ...{ directory, parameters, compensationWritten, note, perplexity, expectedPerplexity },
      files: toJson(result.files),
    },
    skipDuplicates: true,
  })
  return [{ type: 'artifact', data: { id, targetIndex, format, directory, parameters, perplexity } }]
}
