import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EvaluateResult, ModelShape, NewStep, SearchPlan, SearchSettings } from '@espalier/contracts'
import { createLogger } from '@espalier/runtime'
import type { Store } from '@espalier/store'

const shape: ModelShape = {
  architecture: 'llama',
  layers: 1,
  hiddenSize: 8,
  queryHeads: 1,
  kvHeads: 1,
  headDim: 8,
  ffnChannels: 8,
  vocabularySize: 16,
  maxPositions: 64,
  slidingWindow: null,
  tiedEmbeddings: true,
  attentionBiasConfigurable: true,
  mlpBiasConfigurable: true,
  parameters: 1000,
  weightBytes: 2000,
}
const settings: SearchSettings = {
  targets: [0.5],
  budget: 9,
  seed: 1,
  agent: 'network',
  metric: 'wanda',
  compensation: 'mean',
  windowLength: 16,
  calibrationWindows: 1,
  validationWindows: 1,
  finalWindows: null,
  finalists: 0,
  minimumImprovement: 0,
  texts: { calibration: 'c', validation: 'v', test: 't' },
  exports: [],
}
export const config = { node: 'test', leaseMs: 1500 }
export const logger = createLogger('test', { logLevel: 'silent', node: 'test' })
const protocol = {
  windowLength: 16,
  windows: 1,
  dataHash: 'd',
  modelHash: 'm',
  precision: 'fp32',
  metric: 'wanda',
  compensation: 'mean',
  runtime: {},
} as const
const measured: EvaluateResult = { logPerplexity: 1, perplexity: Math.E, nll: [15], tokens: 15, seconds: 0.01 }

/** What a processor of these tests gives. */
export const outcome = { result: measured, effects: { protocol } }

/** A search whose plan is these evaluations and nothing else; gives its id. */
export async function createSearchOf(store: Store, count: number): Promise<{ teamId: string; searchId: string }> {
  const { id: teamId } = await store.teams.ensureDefault()
  const path = `/${randomBytes(4).toString('hex')}`
  const model = await store.models.create({ teamId, name: 'm', path, shape })
  const search = await store.searches.create({ teamId, modelId: model.id, settings })
  await store.searches.advance(search.id, () => planOf(count))
  return { teamId, searchId: search.id }
}

export async function statesOf(store: Store, searchId: string): Promise<string[]> {
  return (await store.searches.loadRecord(searchId)).steps.map((step) => step.state)
}

/** Waits until every step of a search is in one of these states. */
export async function untilAll(store: Store, searchId: string, ...states: string[]): Promise<void> {
  const end = performance.now() + 20_000
  for (;;) {
    const found = await statesOf(store, searchId)
    if (found.every((state) => states.includes(state))) return
    if (performance.now() > end) throw new Error(`the steps are ${found.join(', ')}, not ${states.join(' or ')}`)
    await sleep(50)
  }
}

function planOf(count: number): SearchPlan {
  const steps: NewStep[] = Array.from({ length: count }, (_, index) => ({
    kind: 'evaluate',
    round: 0,
    index,
    payload: {
      purpose: 'random',
      targetIndex: 0,
      keptUnits: [1, index],
      sparsity: 0.5,
      split: 'validation',
      windows: 1,
      predicted: null,
    },
  }))
  const progress = {
    state: 'SEARCHING',
    round: 0,
    rounds: 1,
    evaluationsDone: 0,
    evaluationsBudget: 9,
    fraction: 0,
    densePerplexity: null,
    targets: [],
    predictorError: null,
  } as const
  return { state: 'SEARCHING', steps, progress, result: null, error: null }
}
