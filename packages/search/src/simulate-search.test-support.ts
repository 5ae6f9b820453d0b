import {
  type EarlierEvaluation,
  type LatencyTable,
  methodOf,
  type NewStep,
  needsLatencies,
  type PruningMethod,
  type SearchPlan,
  type SearchRecord,
  type StepRecord,
  type StepResult,
} from '@espalier/contracts'
import {
  createPolicyRules,
  createPrunableModel,
  createRandomGenerator,
  type PolicyTarget,
  type RandomGenerator,
} from '@espalier/pruning'
import { planNextSteps } from './plan-next-steps.js'

/**
 * Drives the state machine as the service does, with a synthetic model whose log-perplexity is known, and with
 * steps that end in any order. Used by tests only.
 */
export interface SimulationOptions {
  readonly settings: SearchRecord['settings']
  readonly shape: SearchRecord['shape']
  /** What it starts from. */
  readonly earlier?: readonly EarlierEvaluation[]
  /** Order in which open steps end. */
  readonly order: RandomGenerator
  /** Whether a step fails. */
  readonly fails?: (step: StepRecord) => boolean
  readonly splitWindows?: number
  /** Half the width of the predicted interval of a policy; 0.1 if left out. */
  readonly halfWidth?: (kept: readonly number[]) => number
  /** What a method adds to log-perplexity. */
  readonly penaltyOf?: (method: PruningMethod) => number
  /** What a window of the text adds to the log-perplexity of every policy on it; a little if left out. */
  readonly difficultyOf?: (window: number) => number
}

export interface Simulation {
  readonly steps: readonly StepRecord[]
  readonly plan: SearchPlan
}

export function simulateSearch(options: SimulationOptions): Simulation {
  const { settings, shape, earlier } = options
  let steps: StepRecord[] = []
  for (;;) {
    const plan = planNextSteps({ settings, shape, steps, ...(earlier ? { earlier } : {}) })
    if (plan.state === 'SUCCEEDED' || plan.state === 'FAILED') return { steps, plan }
    steps = [...steps, ...plan.steps.map(openStep)]
    const open = steps.filter((step) => step.state === 'PENDING')
    if (open.length === 0) throw new Error(`the search stands still in ${plan.state}`)
    const next = open[options.order.integer(open.length)]
    steps = steps.map((step) => (step === next ? endStep(step, steps, options) : step))
    options.order.shuffle(steps)
  }
}

/** What a later search of the model may start from, in the order of planning. */
export function earlierEvaluationsOf({ steps }: Simulation): EarlierEvaluation[] {
  return steps
    .filter((step) => step.kind === 'evaluate')
    .sort((a, b) => a.round - b.round || a.index - b.index)
    .flatMap(({ payload, result }) => (result ? [{ payload, result }] : []))
    .filter(({ payload }) => payload.split === 'validation' && payload.purpose !== 'final')
}

function openStep(step: NewStep): StepRecord {
  return { ...step, state: 'PENDING', result: null, error: null } as StepRecord
}

function endStep(step: StepRecord, steps: readonly StepRecord[], options: SimulationOptions): StepRecord {
  if (options.fails?.(step)) {
    return { ...step, state: 'FAILED', error: { code: 'EVALUATION_FAILED', message: 'lost', details: {} } }
  }
  return { ...step, state: 'DONE', result: resultOf(step, steps, options) } as StepRecord
}

function resultOf(step: StepRecord, steps: readonly StepRecord[], options: SimulationOptions): StepResult {
  const { settings, shape } = options
  const model = createPrunableModel(shape)
  switch (step.kind) {
    case 'prepare': {
      const split = { artifact: 'a', textHash: 'b', tokens: 1, windows: options.splitWindows ?? 64 }
      return {
        ...(needsLatencies(settings) ? { latencies: latenciesOf(shape) } : {}),
        modelHash: 'c',
        calibration: 'd',
        splits: { calibration: split, validation: split, test: split },
        seconds: 1,
      }
    }
    case 'evaluate': {
      const { keptUnits, windows } = step.payload
      const penalty = options.penaltyOf?.(methodOf({ payload: step.payload, settings })) ?? 0
      const { difficultyOf = (window) => 0.01 * Math.sin(window) } = options
      const mean = 3 + penalty + damageOf(model.modules, keptUnits)
      const tokensPerWindow = settings.windowLength - 1
      const nll = Array.from({ length: windows }, (_, window) => (mean + difficultyOf(window)) * tokensPerWindow)
      const tokens = windows * tokensPerWindow
      const logPerplexity = nll.reduce((sum, value) => sum + value, 0) / tokens
      return { logPerplexity, perplexity: Math.exp(logPerplexity), nll, tokens, seconds: 1 }
    }
    case 'train':
      return { evaluations: 1, residualSamples: 0, noise: 0.1, intervalScale: 1.6, seconds: 1 }
    case 'propose': {
      const random = createRandomGenerator(settings.seed, 'propose', step.round)
      const { count, draws = 0 } = step.payload
      const policies = (target: PolicyTarget) =>
        Array.from({ length: count + draws }, (_, index) => ({
          keptUnits: [...(random.uniform() < 0.1 ? target.uniform() : target.random(random))],
          origin: 'network' as const,
          ...(index < count ? {} : { drawn: true as const }),
        }))
      return {
        targets: createPolicyRules(shape, settings, latenciesOf(shape)).targets.map((target) => ({
          policies: policies(target),
        })),
        backend: 'none',
        seconds: 1,
      }
    }
    case 'score': {
      const proposed = steps.find((other) => other.kind === 'propose' && other.round === step.round)
      const targets = (proposed?.kind === 'propose' && proposed.result?.targets) || []
      const scored = targets.map(({ policies }) => ({
        scores: policies.map(({ keptUnits }) => {
          const logPerplexity = 3 + damageOf(model.modules, keptUnits)
          const reach = options.halfWidth?.(keptUnits) ?? 0.1
          return { logPerplexity, low: logPerplexity - reach, high: logPerplexity + reach }
        }),
      }))
      return { targets: scored, policies: 1, seconds: 1 }
    }
    case 'export':
      return {
        directory: 'x',
        files: [],
        parameters: 1,
        compensationWritten: true,
        note: null,
        perplexity: 1,
        expectedPerplexity: 1,
        seconds: 1,
      }
  }
}

/** The same for every unit, in fractions that add up exactly. */
export function latenciesOf({ kvHeads, ffnChannels }: SearchRecord['shape']): LatencyTable {
  const times = (units: number) => [
    { kept: 0, seconds: 0 },
    { kept: units, seconds: units / 1024 },
  ]
  return {
    ...{ format: 'espalier-latencies/1', device: 'test', contextLength: 64, fixedSeconds: 1 / 64 },
    ...{ attention: times(kvHeads), ffn: times(ffnChannels) },
  }
}

function damageOf(modules: readonly { index: number; units: number }[], kept: readonly number[]): number {
  return modules.reduce((sum, module) => {
    const removed = 1 - (kept[module.index] ?? 0) / module.units
    return sum + (0.05 + 0.02 * (module.index % 5)) * removed ** 1.5
  }, 0)
}
