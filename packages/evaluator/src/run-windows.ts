import { EspalierError } from '@espalier/contracts'
import { tokensPerRun } from '@espalier/cost-model'
import type { Tensor } from 'onnxruntime-node'
import { createInt64Tensor } from './create-int64-tensor.js'
import type { DenseComparison, Measurement, ModuleWork, WindowedTokens } from './evaluator.js'

/** Thrown inside the evaluation thread when the caller has given up. */
export class Aborted extends Error {}

/** What a call in the evaluation thread can ask and tell while it works. */
export interface CallControl {
  isAborted(): boolean
  report(windowsDone: number): void
  reportModule(work: ModuleWork): void
}

/** @throws Aborted */
export function checkAborted(control: CallControl): void {
  if (control.isAborted()) throw new Aborted()
}

export function defaultBatchWindows(windowLength: number): number {
  return Math.max(1, Math.round(tokensPerRun / windowLength))
}

/**
 * Runs consecutive windows in batches; `run` gets the ids as int64 [B, T] and the number of the first window.
 *
 * @throws Aborted
 */
export async function runWindows(
  { ids, windowLength, windows }: WindowedTokens,
  batchWindows: number,
  control: CallControl,
  run: (batch: Tensor, firstWindow: number) => Promise<void>,
): Promise<void> {
  for (let first = 0; first < windows; first += batchWindows) {
    checkAborted(control)
    const count = Math.min(batchWindows, windows - first)
    const batch = ids.subarray(first * windowLength, (first + count) * windowLength)
    await run(createInt64Tensor(batch, [count, windowLength]), first)
    control.report(first + count)
  }
}

/** @throws EspalierError EVALUATION_NOT_FINITE */
export function summarize(
  nll: number[],
  windowLength: number,
  seconds: number,
  againstDense: DenseComparison | null = null,
): Measurement {
  const bad = findNotFinite(nll)
  if (bad !== null) {
    throw new EspalierError(
      'EVALUATION_NOT_FINITE',
      `The negative log-likelihood of window ${bad} is ${nll[bad]}; it must be finite`,
      { window: bad },
    )
  }
  const tokens = nll.length * (windowLength - 1)
  const logPerplexity = nll.reduce((sum, value) => sum + value, 0) / tokens
  return { nll, logPerplexity, perplexity: Math.exp(logPerplexity), tokens, seconds, againstDense }
}

/** Index of the first number that is NaN or infinite; null: all are finite. */
export function findNotFinite(values: ArrayLike<number>): number | null {
  for (let index = 0; index < values.length; index++) if (!Number.isFinite(values[index])) return index
  return null
}

/** The data of an output of a run, as the array of its type. */
export function dataOf<T extends 'float32' | 'float64'>(
  outputs: Readonly<Record<string, Tensor>>,
  name: string,
  type: T,
): Tensor.DataTypeMap[T] {
  return outputOf(outputs, name, type).data as Tensor.DataTypeMap[T]
}

/** An output of a run. */
export function outputOf(outputs: Readonly<Record<string, Tensor>>, name: string, type: 'float32' | 'float64'): Tensor {
  const output = outputs[name]
  if (output?.type === type) return output
  throw new EspalierError(
    'EVALUATION_FAILED',
    `The graph gave ${output ? output.type : 'nothing'} as ${name}; expected ${type}`,
    { name, expected: type },
  )
}
