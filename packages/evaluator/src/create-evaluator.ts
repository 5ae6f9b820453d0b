import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import type { Precision } from '@espalier/contracts'
import { checkCount, checkSequences } from './check-request.js'
import { countCpus } from './count-cpus.js'
import type { CalibrationRecord, Evaluator, EvaluatorOptions, WindowedTokens } from './evaluator.js'
import { gramBytesInMemory } from './gram-memory.js'
import { measureMany } from './measure-many.js'
import { planRows } from './plan-rows.js'
import type { ThreadModel } from './thread-calls.js'
import { ThreadClient } from './thread-client.js'

/**
 * Opens a model for measuring: one worker thread with one ONNX Runtime session, whatever the policies.
 *
 * @throws EspalierError MODEL_* for the folder, REQUEST_INVALID, CONFIGURATION_INVALID for a provider that does
 *   not work here, EVALUATION_OUT_OF_MEMORY, EVALUATION_FAILED
 */
export async function createEvaluator(options: EvaluatorOptions): Promise<Evaluator> {
  const model: ThreadModel = {
    modelDirectory: options.modelDirectory,
    threads: options.threads ?? countCpus(),
    provider: options.provider ?? 'cpu',
    weights: options.weights ?? 'stored',
    batchWindows: options.batchWindows ?? null,
    deviceId: options.deviceId ?? 0,
    precision: options.precision ?? 'auto',
    memoryBytes: options.memoryBytes ?? null,
    gramMemoryBytes: options.gramMemoryBytes ?? gramBytesInMemory(),
    scratchDirectory: options.scratchDirectory ?? tmpdir(),
  }
  checkCount('threads', model.threads, 1)
  if (model.batchWindows !== null) checkCount('batchWindows', model.batchWindows, 1)
  if (model.memoryBytes !== null) checkCount('memoryBytes', model.memoryBytes, 1)
  checkCount('deviceId', options.deviceId ?? 0, 0)
  const thread = new ThreadClient()
  let precision: Precision
  try {
    precision = await thread.call('open', { model })
  } catch (error) {
    await thread.close()
    throw error
  }
  const keyOf = createKeys()
  const measure: Evaluator['measure'] = ({ signal, onProgress, onModule, ...given }) => {
    const request = { ...given, ids: copyUsed(given), calibrationKey: keyOf(given.calibration) }
    return thread.call('measure', { model, request }, { signal, onProgress, onModule })
  }
  const scratchFiles: string[] = []
  return {
    precision,
    measure,
    measureMany: (request) => measureMany(measure, request),
    measureContinuations: async ({ signal, onProgress, onModule, sequences, ...given }) => {
      const started = performance.now()
      checkSequences(sequences)
      const batches = planRows(sequences, model.batchWindows)
      const tokens = batches.reduce((sum, batch) => sum + batch.tokens, 0)
      const request = { ...given, sequences: sequences.length, batches, calibrationKey: keyOf(given.calibration) }
      const report = onProgress && ((tokensDone: number) => onProgress(tokensDone, tokens))
      const found = await thread.call(
        'measureContinuations',
        { model, request },
        { signal, onProgress: report, onModule },
      )
      return { logLikelihoods: Array.from(found), tokens, seconds: (performance.now() - started) / 1000 }
    },
    calibrate: async ({ signal, onProgress, onModule, ...tokens }) => {
      const call = { model, tokens: { ...tokens, ids: copyUsed(tokens) } }
      const record = await thread.call('calibrate', call, { signal, onProgress, onModule })
      if (record.scratchFile !== undefined) scratchFiles.push(record.scratchFile)
      return record
    },
    close: async () => {
      await thread.close()
      for (const file of scratchFiles) await rm(file, { force: true })
    },
  }
}

/** Names records, because the thread gets a new copy with every call. */
function createKeys(): (record: CalibrationRecord | null) => string {
  const keys = new WeakMap<CalibrationRecord, string>()
  let count = 0
  return (record) => {
    if (record === null) return 'none'
    const key = keys.get(record) ?? String(count++)
    keys.set(record, key)
    return key
  }
}

/** The ids of the windows alone: a message copies the whole memory behind an array, however small the view. */
function copyUsed({ ids, windowLength, windows }: WindowedTokens): Int32Array {
  return ids.slice(0, windowLength * windows)
}
