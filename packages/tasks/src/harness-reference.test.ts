import { readFileSync } from 'node:fs'
import { describe, expect, it } from '@jest/globals'
import { encodeQuestions } from './encode-questions.js'
import { getTask, taskNames } from './get-task.js'
import { scoreQuestion, scoreQuestions } from './score-questions.js'

/** What bench/reference/task_reference.py writes. */
interface Reference {
  readonly maxLength: number
  readonly tasks: Readonly<Record<string, TaskReference>>
}
interface TaskReference {
  readonly acc: number
  readonly acc_stderr: number
  readonly acc_norm?: number
  readonly acc_norm_stderr?: number
  readonly samples: readonly {
    readonly requests: readonly {
      readonly context: string
      readonly continuation: string
      readonly ids: readonly number[]
      readonly continuationTokens: number
      readonly logLikelihood: number
    }[]
    readonly acc: number
    readonly acc_norm?: number
  }[]
}

const read = (name: string) => readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')
const readReference = (name: string): Reference => JSON.parse(read(name))
const references = ['demo.json', 'demo-first-token.json'].map(readReference)

function readQuestions(name: string) {
  const rows = read(`documents/${name}.jsonl`).trim().split('\n')
  return rows.map((row, index) => getTask(name).parse(JSON.parse(row), `line ${index + 1}`))
}

describe.each(taskNames)('%s as lm-evaluation-harness has it', (name) => {
  const questions = readQuestions(name)

  it('has the same prompts and continuations', () => {
    const found = questions.map(({ choices }) =>
      choices.map(({ context, continuation }) => ({ context, continuation })),
    )
    for (const { tasks } of references) {
      const expected = tasks[name]?.samples.map(({ requests }) =>
        requests.map(({ context, continuation }) => ({ context, continuation })),
      )
      expect(found).toEqual(expected)
    }
  })

  it('gives the same scores for the same likelihoods', () => {
    for (const { tasks } of references) {
      const expected: Partial<TaskReference> = tasks[name] ?? {}
      const { samples = [] } = expected
      const likelihoods = samples.map(({ requests }) => requests.map(({ logLikelihood }) => logLikelihood))
      const { documents, ...found } = scoreQuestions(getTask(name), questions, likelihoods)
      expect(documents).toBe(samples.length)
      for (const metric of ['acc', 'acc_stderr', 'acc_norm', 'acc_norm_stderr'] as const) {
        if (expected[metric] === undefined) expect(found[metric]).toBeNull()
        else expect(found[metric]).toBeCloseTo(expected[metric], 12)
      }
      questions.forEach((question, index) => {
        const { acc, acc_norm } = scoreQuestion(question, likelihoods[index] ?? [])
        const sample = samples[index]
        expect({ acc, acc_norm }).toEqual({ acc: sample?.acc, acc_norm: sample?.acc_norm ?? acc_norm })
      })
    }
  })
})

it('cuts contexts from the left, and no continuation', async () => {
  // A token a character, and one before each text.
  const encode = async (texts: readonly string[]) =>
    texts.map((text) => Int32Array.from(`^${text}`, (character) => character.codePointAt(0) ?? 0))
  const question = { gold: 0, choices: [{ context: 'abcdef  ', continuation: ' gh', answer: 'gh' }] }
  const encoded = async (maxPositions: number) => {
    const [choices] = await encodeQuestions([question], { encode, maxPositions, task: 'made up' })
    return { text: String.fromCodePoint(...(choices?.[0]?.ids ?? [])), tokens: choices?.[0]?.continuationTokens }
  }
  expect(await encoded(100)).toEqual({ text: '^abcdef   gh', tokens: 5 })
  expect(await encoded(7)).toEqual({ text: 'def   gh', tokens: 5 })
  expect(await encoded(5)).toEqual({ text: 'f   gh', tokens: 5 })
  await expect(encoded(4)).rejects.toMatchObject({ code: 'MODEL_WINDOW_TOO_LONG' })
})
