import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  EspalierError,
  type LatencyTable,
  type ModelShape,
  needsLatencies,
  type PrepareResult,
  type Split,
  splits,
} from '@espalier/contracts'
import { gramBytesOf, measureLatencies, writeCalibration } from '@espalier/evaluator'
import { loadTokenizer } from '@espalier/model-graph'
import { contextLengthOf, createPolicyRules } from '@espalier/pruning'
import type { CalibrationRow, Lease } from '@espalier/store'
import type { EvaluatorContext, StepContext } from './evaluator-context.js'
import { locateModel, locateText } from './locate-sources.js'
import { tellModules, withActivity } from './tell-activity.js'
import { idsToBytes, type TokenisedText, tokeniseText } from './tokenise-text.js'
import type { WarmModel } from './warm-model.js'

/** Hashes the model, tokenises the texts, and calibrates unless a search before did it with the same model and text. */
export async function processPrepare(context: EvaluatorContext, lease: Lease<'prepare'>, step: StepContext) {
  const started = performance.now()
  const { settings } = lease
  checkWindow(lease)
  const directory = await locateModel(context, lease, step)
  const warm = await context.models.get(directory, null)
  const tokenizer = await loadTokenizer(directory)
  const texts = {} as Record<Split, TokenisedText>
  for (const split of splits) {
    const source = await locateText(context, lease, step, settings.texts[split])
    texts[split] = await tokeniseText(tokenizer, split, source, settings.windowLength)
  }
  checkWindows(lease, texts)

  const latencies = await measureTimes(context, warm.model.shape, lease, step)
  const calibration = await calibrate(context, lease, step, warm, texts.calibration)
  const result: PrepareResult = {
    modelHash: warm.hash,
    precision: warm.evaluator.precision,
    calibration: calibration.artifact,
    splits: {
      calibration: await storeIds(context, texts.calibration),
      validation: await storeIds(context, texts.validation),
      test: await storeIds(context, texts.test),
    },
    ...(latencies ? { latencies } : {}),
    seconds: (performance.now() - started) / 1000,
  }
  return { result, effects: { calibration, shape: lease.model.path === null ? warm.model.shape : null } }
}

/**
 * Latencies of this machine where a target or limit is about time and the search brought no table.
 * @throws EspalierError CONSTRAINTS_CONTRADICTORY when no policy is as fast as was asked for
 */
async function measureTimes(
  { countThreads, provider }: EvaluatorContext,
  shape: ModelShape,
  { settings }: Lease<'prepare'>,
  { signal }: StepContext,
): Promise<LatencyTable | undefined> {
  if (!needsLatencies(settings) || settings.constraints?.latencies) return undefined
  const contextLength = contextLengthOf(shape, settings.constraints?.contextLength)
  const latencies = await measureLatencies(shape, {
    contextLength,
    threads: countThreads(),
    provider,
    signal,
  })
  createPolicyRules(shape, settings, latencies)
  return latencies
}

async function calibrate(
  context: EvaluatorContext,
  lease: Lease<'prepare'>,
  step: StepContext,
  warm: WarmModel,
  text: TokenisedText,
): Promise<CalibrationRow> {
  const { windowLength, calibrationWindows: windows } = lease.settings
  const identity = { modelHash: warm.hash, dataHash: text.textHash, windowLength, windows }
  const { elimination } = lease.payload
  const gram = lease.payload.gram ?? lease.settings.compensation === 'least-squares'
  const key = createHash('sha256')
    .update(JSON.stringify({ ...identity, ...(gram ? { gram } : {}), ...(elimination ? { elimination } : {}) }))
    .digest('hex')
  const known = await context.store.calibrations.find(lease.teamId, key)
  if (known && (await context.artifacts.has(known.artifact))) return known

  const { evaluator } = await context.models.get(warm.model.directory, null)
  if (gram) step.logger.info(gramBytesOf(warm.model.shape), 'recording Gram matrices for least-squares compensation')
  const recorded = { gram, elimination, signal: step.signal }
  const record = await withActivity(context, lease, step, (tell) =>
    evaluator.calibrate({
      ...{ ids: text.ids, windowLength, windows, ...recorded },
      onProgress: (windowsDone) => tell(`calibrating: ${windowsDone} of ${windows} windows`),
      onModule: tellModules(tell),
    }),
  )
  const file = join(tmpdir(), `espalier-calibration-${lease.stepId}-${lease.fencingToken}.safetensors`)
  try {
    await writeCalibration(file, record)
    return { key, ...identity, artifact: await context.artifacts.putFile(file) }
  } finally {
    await rm(file, { force: true })
    if (record.scratchFile !== undefined) await rm(record.scratchFile, { force: true })
  }
}

async function storeIds(context: EvaluatorContext, text: TokenisedText) {
  const artifact = await context.artifacts.putBytes(idsToBytes(text.ids))
  const { ids, textHash, windows, windowBytes } = text
  return { artifact, textHash, tokens: ids.length, windows, windowBytes: [...windowBytes] }
}

/** The session would refuse it too, but here it is refused before any work is done. */
function checkWindow({ model, settings }: Lease<'prepare'>): void {
  const longest = model.shape.maxPositions
  if (settings.windowLength <= longest) return
  throw new EspalierError(
    'MODEL_WINDOW_TOO_LONG',
    `The window of ${settings.windowLength} tokens is longer than the ${longest} of the model ${model.name}`,
    { windowLength: settings.windowLength, allowed: longest },
  )
}

function checkWindows({ settings }: Lease<'prepare'>, texts: Record<Split, TokenisedText>): void {
  const wanted = { calibration: settings.calibrationWindows, validation: settings.validationWindows }
  for (const split of ['calibration', 'validation'] as const) {
    if (texts[split].windows >= wanted[split]) continue
    throw new EspalierError(
      'TEXT_TOO_SHORT',
      `The ${split} text ${settings.texts[split]} has ${texts[split].windows} windows of ${settings.windowLength} tokens; ` +
        `${wanted[split]} were asked for`,
      { split, windows: texts[split].windows, wanted: wanted[split] },
    )
  }
}
