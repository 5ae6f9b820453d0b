import { countCharacters } from './python-strings.js'
import type { Question, Task } from './task.js'

/** Share of questions answered rightly; the fields are named as lm-evaluation-harness names them. */
export interface TaskScore {
  /** The choice of the highest log-likelihood. */
  readonly acc: number
  /** Standard error of the mean; null: one document has none. */
  readonly acc_stderr: number | null
  /** The choice of the highest log-likelihood by character; null: the task has no such metric. */
  readonly acc_norm: number | null
  readonly acc_norm_stderr: number | null
  readonly documents: number
}

/**
 * Scores the log-likelihoods (nats) of every choice of every question.
 * Source: `ConfigurableTask.process_results` in lm_eval/api/task.py: acc_norm divides by the characters of the answer,
 * without the blank before it, not by its bytes; the first of equals wins.
 */
export function scoreQuestions(
  task: Pick<Task, 'metrics'>,
  questions: readonly Question[],
  logLikelihoods: readonly (readonly number[])[],
): TaskScore {
  const right = questions.map((question, index) => scoreQuestion(question, logLikelihoods[index] ?? []))
  const acc = describe(right.map(({ acc }) => acc))
  const norm = task.metrics.includes('acc_norm') ? describe(right.map(({ acc_norm }) => acc_norm)) : null
  return {
    acc: acc.mean,
    acc_stderr: acc.standardError,
    acc_norm: norm?.mean ?? null,
    acc_norm_stderr: norm?.standardError ?? null,
    documents: questions.length,
  }
}

/** 1 where the right choice wins, else 0. */
export function scoreQuestion({ choices, gold }: Question, logLikelihoods: readonly number[]) {
  const byCharacter = logLikelihoods.map((value, index) => value / countCharacters(choices[index]?.answer ?? ''))
  return { acc: Number(findLargest(logLikelihoods) === gold), acc_norm: Number(findLargest(byCharacter) === gold) }
}

function findLargest(values: readonly number[]): number {
  return values.reduce((best, value, index) => (value > (values[best] ?? Number.NaN) ? index : best), 0)
}

/** Mean and its standard error, s / sqrt(n) with the sample deviation s (n - 1). */
function describe(values: readonly number[]): { mean: number; standardError: number | null } {
  const count = values.length
  const mean = values.reduce((sum, value) => sum + value, 0) / count
  if (count < 2) return { mean, standardError: null }
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return { mean, standardError: Math.sqrt(squares / (count - 1) / count) }
}
