import { EspalierError } from '@espalier/contracts'
import type { InferenceSession } from 'onnxruntime-node'
import { checkWindows } from './check-request.js'
import { createSession } from './create-session.js'
import type { Measurement, WindowedTokens } from './evaluator.js'
import { type CallControl, dataOf, runWindows, summarize } from './run-windows.js'

export interface LogitsMeasurement extends Measurement {
  /** Of `seconds`, spent in the model; the rest reads its logits. */
  readonly modelSeconds: number
}

/** Measures an ONNX file with `input_ids` int64 [batch, sequence] -> `logits` float [batch, sequence, vocabulary]. */
export async function measureLogits(
  path: string,
  tokens: WindowedTokens,
  threads: number,
  control: CallControl,
): Promise<LogitsMeasurement> {
  const session = await createSession(path, { threads, provider: 'cpu' })
  try {
    const started = performance.now()
    const { nll, modelSeconds } = await measureSession(session, tokens, control)
    return { ...summarize(nll, tokens.windowLength, (performance.now() - started) / 1000), modelSeconds }
  } finally {
    await session.release()
  }
}

async function measureSession(session: InferenceSession, tokens: WindowedTokens, control: CallControl) {
  const { ids, windowLength } = tokens
  const unlimited = Number.POSITIVE_INFINITY
  checkWindows(tokens, { maxPositions: unlimited, vocabularySize: unlimited })
  const nll: number[] = []
  let modelSeconds = 0
  // One window a run: its logits alone may take hundreds of megabytes.
  await runWindows(tokens, 1, control, async (batch, window) => {
    const started = performance.now()
    const outputs = await session.run({ input_ids: batch })
    modelSeconds += (performance.now() - started) / 1000
    const logits = dataOf(outputs, 'logits', 'float32')
    const vocabulary = logits.length / windowLength
    let sum = 0
    for (let position = 0; position + 1 < windowLength; position++) {
      const label = ids[window * windowLength + position + 1] ?? 0
      if (label >= vocabulary) {
        throw new EspalierError('TOKEN_OUT_OF_RANGE', `Token ${label} is outside the vocabulary of ${vocabulary}`, {
          token: label,
          vocabularySize: vocabulary,
        })
      }
      const row = logits.subarray(position * vocabulary, (position + 1) * vocabulary)
      sum += logSumExp(row) - (row[label] ?? Number.NaN)
    }
    nll.push(sum)
  })
  return { nll, modelSeconds }
}

/** log(sum(exp(x))) in float64. */
function logSumExp(values: Float32Array): number {
  let largest = Number.NEGATIVE_INFINITY
  for (const value of values) if (value > largest) largest = value
  let sum = 0
  for (const value of values) sum += Math.exp(value - largest)
  return largest + Math.log(sum)
}
