import { EspalierError } from '@espalier/contracts'
import type { z } from 'zod'

/** One answer of a question: what the model reads, and what it is asked the likelihood of. */
export interface Choice {
  readonly context: string
  readonly continuation: string
  /** Answer whose length in characters normalises the likelihood. */
  readonly answer: string
}

/** One document of a task. */
export interface Question {
  readonly choices: readonly Choice[]
  /** Index of the right choice. */
  readonly gold: number
}

/** What a task is judged by: the likeliest choice, or the likeliest by character. */
export type TaskMetric = 'acc' | 'acc_norm'

/** A multiple-choice task as lm-evaluation-harness defines it, without examples in the prompt. */
export interface Task {
  readonly name: string
  /** Split of the data set that the harness measures on. */
  readonly split: 'validation' | 'test'
  readonly metrics: readonly TaskMetric[]
  /** Fields of a row that are read. */
  readonly columns: readonly string[]
  /**
   * The question of a row.
   *
   * @param place where the row is from, for errors: `data.jsonl, row 3`
   * @throws EspalierError TASK_DOCUMENT_INVALID
   */
  parse(row: unknown, place: string): Question
}

interface TaskDefinition<Document> extends Omit<Task, 'columns' | 'parse'> {
  /** Shape of a row; other fields are left alone. */
  readonly document: z.ZodType<Document> & { readonly shape: Readonly<Record<string, unknown>> }
  /** Prompt and choices; a message when the document has no question in it. */
  ask(document: Document): Question | string
}

/** Makes a task of the shape of its rows and of what it asks. */
export function defineTask<Document>({ document, ask, ...task }: TaskDefinition<Document>): Task {
  return {
    ...task,
    columns: Object.keys(document.shape),
    parse(row, place) {
      const parsed = document.safeParse(row)
      if (!parsed.success) {
        const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
        throw invalidDocument(task.name, place, problems.join('; '))
      }
      const question = ask(parsed.data)
      if (typeof question === 'string') throw invalidDocument(task.name, place, question)
      checkQuestion(question, task.name, place)
      return question
    },
  }
}

/** What the harness would stop at, or would count as wrong without a word. */
function checkQuestion({ choices, gold }: Question, task: string, place: string): void {
  if (!(gold >= 0 && gold < choices.length)) {
    const hint = 'the test splits of some data sets hold no answers'
    throw invalidDocument(task, place, `the answer is number ${gold} of ${choices.length} choices; ${hint}`)
  }
  if (choices.some(({ context }) => context.trim() === '')) throw invalidDocument(task, place, 'its prompt is empty')
}

export function invalidDocument(task: string, place: string, problem: string): EspalierError {
  return new EspalierError('TASK_DOCUMENT_INVALID', `${place}: no document of ${task}: ${problem}`, { task, place })
}

/** Choices that follow the same prompt, after a blank (`target_delimiter` of the harness). */
export function askOnce(context: string, answers: readonly string[], gold: number): Question {
  return { gold, choices: answers.map((answer) => ({ context, continuation: ` ${answer}`, answer })) }
}
