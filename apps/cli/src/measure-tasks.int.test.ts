import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createEvaluator } from '@espalier/evaluator'
import { taskNames } from '@espalier/tasks'
import { afterAll, describe, expect, it } from '@jest/globals'
import { demoModelDirectory } from './input/resolve-model.js'
import { loadTasks, measureTasks, type TasksRequest } from './measure-tasks.js'

const fixtures = fileURLToPath(new URL('../../../packages/tasks/fixtures/', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'espalier-tasks-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** What bench/reference/task_reference.py writes: lm-evaluation-harness on the same documents and model. */
interface Reference {
  readonly maxLength: number
  readonly tasks: Readonly<Record<string, Readonly<Record<string, number>> & { readonly samples: readonly Sample[] }>>
}
interface Sample {
  readonly requests: readonly {
    readonly ids: readonly number[]
    readonly continuationTokens: number
    readonly logLikelihood: number
  }[]
}
const readReference = (name: string): Reference => JSON.parse(readFileSync(join(fixtures, name), 'utf8'))

/** The bundled model, said to hold fewer positions, with a tokenizer that puts a token before every text. */
function writeFirstTokenModel(): string {
  const directory = join(folder, 'model')
  mkdirSync(directory)
  cpSync(demoModelDirectory, directory, { recursive: true, filter: (file) => !file.includes('texts') })
  const edit = (name: string, change: object) => {
    const file = join(directory, name)
    writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }))
  }
  const first = '<|endoftext|>'
  edit('config.json', { max_position_embeddings: 48 })
  edit('tokenizer.json', {
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: first, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { [first]: { id: first, ids: [0], tokens: [first] } },
    },
  })
  return directory
}

const sources = (extension: string) =>
  new Map(taskNames.map((name) => [name, join(fixtures, 'documents', `${name}.${extension}`)]))
const request: Omit<TasksRequest, 'modelDirectory' | 'sources'> = {
  ...{ limit: null, policy: null, calibration: null, calibrationWindows: null, windowLength: 128, threads: null },
  ...{ signal: new AbortController().signal, onProgress: () => undefined },
}

describe.each([
  ['the bundled model', 'demo.json', () => demoModelDirectory],
  ['a tokenizer with a first token, and contexts that are cut', 'demo-first-token.json', writeFirstTokenModel],
])('%s gives the tokens and log-likelihoods of lm-evaluation-harness', (_, file, makeModel) => {
  const reference = readReference(file)
  const modelDirectory = makeModel()

  it('for every choice of every document', async () => {
    const loaded = await loadTasks({ ...request, sources: sources('jsonl') }, modelDirectory, reference.maxLength)
    const evaluator = await createEvaluator({ modelDirectory })
    try {
      for (const { task, choices } of loaded) {
        const expected = reference.tasks[task.name]?.samples.map(({ requests }) => requests) ?? []
        const found = choices.map((each) => each.map((choice) => ({ ...choice, ids: [...choice.ids] })))
        expect(found).toEqual(
          expected.map((each) => each.map(({ ids, continuationTokens }) => ({ ids, continuationTokens }))),
        )
        const { logLikelihoods } = await evaluator.measureContinuations({
          ...{ keptIndices: null, calibration: null },
          sequences: choices.flat().map(({ ids, continuationTokens }) => ({ ids, scoredTokens: continuationTokens })),
        })
        const errors = expected.flat().map(({ logLikelihood }, index) => {
          return Math.abs((logLikelihoods[index] ?? 0) / logLikelihood - 1)
        })
        expect(Math.max(...errors)).toBeLessThan(1e-4)
      }
    } finally {
      await evaluator.close()
    }
  })
})

it('gives the accuracies and standard errors of lm-evaluation-harness, from Parquet too', async () => {
  const reference = readReference('demo.json')
  const report = await measureTasks({ ...request, modelDirectory: demoModelDirectory, sources: sources('parquet') })
  expect(report.tasks.map(({ task }) => task)).toEqual(taskNames)
  for (const { task, dense, policy } of report.tasks) {
    const { samples = [], ...expected } = reference.tasks[task] ?? {}
    expect(policy).toBeNull()
    expect(dense.documents).toBe(samples.length)
    for (const [metric, value] of Object.entries(expected)) {
      expect(dense).toMatchObject({ [metric]: expect.closeTo(Number(value), 12) })
    }
  }
})

describe('a policy', () => {
  const keepAll = { kvGroups: 3, ffnChannels: 512 }
  const policyOf = (layer: { kvGroups: number; ffnChannels: number }) => ({
    ...{ format: 'espalier-policy/1' as const, metric: 'wanda' as const, compensation: 'mean' as const },
    keep: Array.from({ length: 8 }, (_, index) => (index === 3 ? layer : keepAll)),
  })
  const measure = (policy: TasksRequest['policy']) =>
    measureTasks({
      ...{ ...request, policy, modelDirectory: demoModelDirectory, calibrationWindows: 2 },
      sources: new Map([['hellaswag', join(fixtures, 'documents/hellaswag.jsonl')]]),
      calibration: { text: join(demoModelDirectory, 'texts/calibration.txt') },
    })

  it('that keeps all stands beside the dense model with the same scores', async () => {
    const { tasks, policy } = await measure(policyOf(keepAll))
    expect(policy).toMatchObject({ sparsity: 0, metric: 'wanda', compensation: 'mean', calibrationWindows: 2 })
    expect(tasks[0]?.policy).toEqual(tasks[0]?.dense)
  })

  it('that keeps less is measured as such', async () => {
    const { tasks, policy } = await measure(policyOf({ kvGroups: 0, ffnChannels: 1 }))
    expect(policy?.sparsity).toBeGreaterThan(0.1)
    expect(tasks[0]?.policy).toMatchObject({ documents: 6 })
  })
})
