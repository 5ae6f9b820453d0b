import type { KeptUnits, ModelShape, WeightPrecision } from '@espalier/contracts'
import { createPrunableModel, uniformPolicy } from '@espalier/pruning'
import { type BudgetSettings, planBudget } from '@espalier/search'
import type { Device } from './devices.js'
import { countEvaluationFlops, estimateMemory, type MemoryEstimate, type Windows } from './evaluation-cost.js'
import { tokensPerRun } from './evaluator-memory.js'

/** Training and proposing between two rounds of evaluations. Assumed: seconds on two cores, whatever the model. */
const secondsPerRound = 5

export interface PlannedModel {
  readonly shape: ModelShape
  /** Bytes of a weight as stored. */
  readonly storedBytes: 2 | 4
  /** How evaluators keep weights. */
  readonly weights: WeightPrecision
}

export interface PlannedSearch extends BudgetSettings {
  /** Sparsities. */
  readonly targets: readonly number[]
  readonly windowLength: number
  readonly calibrationWindows: number
  readonly validationWindows: number
  /** Windows of the final measurements and of the test, each. */
  readonly finalWindows: number
}

/** Evaluations of one kind. */
export interface PlannedStage {
  readonly name: 'calibration' | 'dense' | 'uniform' | 'trials' | 'probes' | 'random' | 'rounds' | 'final' | 'test'
  readonly evaluations: number
  readonly tokens: number
  readonly flops: number
  readonly seconds: number
}

export interface PlannedSpeed {
  /** 0: dense; else the uniform policy of this sparsity. */
  readonly sparsity: number
  readonly flopsPerToken: number
  readonly tokensPerSecond: number
  readonly secondsPerEvaluation: number
}

export interface SearchCost {
  readonly memory: MemoryEstimate & { readonly availableBytes: number; readonly fits: boolean }
  readonly speeds: readonly PlannedSpeed[]
  readonly stages: readonly PlannedStage[]
  readonly rounds: number
  /** Time between the rounds, in which no evaluation runs. */
  readonly roundSeconds: number
  readonly totalSeconds: number
}

/** Memory, speed and time of a search with one evaluator, from shapes alone. */
export function planSearchCost(
  { shape, storedBytes, weights }: PlannedModel,
  device: Device,
  search: PlannedSearch,
): SearchCost {
  const computeBytes = device.computes16Bit ? storedBytes : 4
  const { windowLength } = search
  const { runtimeBytes } = device
  const run = { windowLength, tokensPerRun, computeBytes, storedBytes, weights, runtimeBytes }
  const memory = estimateMemory(shape, run)
  const stages = planStages(shape, search).map(({ name, parts }): PlannedStage => {
    const sum = (value: (part: StagePart) => number) => parts.reduce((total, part) => total + value(part), 0)
    return {
      name,
      evaluations: sum(({ evaluations }) => evaluations),
      tokens: sum(({ evaluations, windows }) => evaluations * windows * windowLength),
      flops: sum((part) => part.evaluations * countEvaluationFlops(shape, part.kept, { windowLength, ...part })),
      seconds: sum(
        (part) => part.evaluations * secondsOf(shape, device, storedBytes, part.kept, { windowLength, ...part }),
      ),
    }
  })
  const rounds = planBudgetOf(shape, search).perRound.length
  const roundSeconds = rounds * secondsPerRound
  return {
    memory: { ...memory, availableBytes: device.memoryBytes, fits: memory.totalBytes <= device.memoryBytes },
    speeds: [0, ...search.targets].map((sparsity) => planSpeed(shape, device, storedBytes, sparsity, search)),
    ...{ stages: stages.filter(({ evaluations }) => evaluations > 0), rounds, roundSeconds },
    totalSeconds: stages.reduce((total, { seconds }) => total + seconds, roundSeconds),
  }
}

function planSpeed(
  shape: ModelShape,
  device: Device,
  storedBytes: 2 | 4,
  sparsity: number,
  { windowLength, validationWindows: windows }: PlannedSearch,
): PlannedSpeed {
  const kept = sparsity === 0 ? denseOf(shape) : uniformPolicy(createPrunableModel(shape), sparsity)
  const seconds = secondsOf(shape, device, storedBytes, kept, { windowLength, windows })
  const tokens = windowLength * windows
  const flopsPerToken = countEvaluationFlops(shape, kept, { windowLength, windows }) / tokens
  return { sparsity, flopsPerToken, tokensPerSecond: tokens / seconds, secondsPerEvaluation: seconds }
}

/** The larger of the time of the products and, where the bandwidth is known, of reading all weights in every run. */
function secondsOf(
  shape: ModelShape,
  device: Device,
  storedBytes: 2 | 4,
  kept: KeptUnits,
  { windowLength, windows }: Windows,
): number {
  const peak = storedBytes === 2 ? device.peakFlops.bits16 : device.peakFlops.bits32
  const products = countEvaluationFlops(shape, kept, { windowLength, windows }) / (peak * device.efficiency)
  if (device.memoryBandwidth === null) return products
  const runs = Math.ceil((windowLength * windows) / Math.max(tokensPerRun, windowLength))
  return Math.max(products, (runs * shape.weightBytes) / device.memoryBandwidth)
}

interface StagePart {
  readonly evaluations: number
  readonly windows: number
  /** A policy that costs what those of the stage cost. */
  readonly kept: KeptUnits
}

function planStages(shape: ModelShape, search: PlannedSearch): { name: PlannedStage['name']; parts: StagePart[] }[] {
  const { targets, validationWindows, calibrationWindows, finalWindows } = search
  const budget = planBudgetOf(shape, search)
  const dense = denseOf(shape)
  const prunable = createPrunableModel(shape)
  const denseAt = (evaluations: number, windows: number) => ({ evaluations, windows, kept: dense })
  /** As many evaluations a target, each at the cost of its uniform policy. */
  const atTargets = (evaluations: number, windows: number) =>
    targets.map((target) => ({ evaluations, windows, kept: uniformPolicy(prunable, target) }))
  const perTarget = budget.perRound.reduce((sum, count) => sum + count, 0)
  return [
    { name: 'calibration', parts: [denseAt(1, calibrationWindows)] },
    { name: 'dense', parts: [denseAt(1, validationWindows)] },
    { name: 'uniform', parts: atTargets(1, validationWindows) },
    { name: 'trials', parts: atTargets(search.trials / targets.length, validationWindows) },
    { name: 'probes', parts: [denseAt(budget.probes, budget.probeWindows)] },
    { name: 'random', parts: atTargets(budget.randoms / targets.length, validationWindows) },
    { name: 'rounds', parts: atTargets(perTarget, validationWindows) },
    { name: 'final', parts: atTargets(budget.finalists, finalWindows) },
    { name: 'test', parts: [denseAt(1, finalWindows), ...atTargets(2, finalWindows)] },
  ]
}

function planBudgetOf(shape: ModelShape, search: PlannedSearch) {
  return planBudget(search, createPrunableModel(shape), search.finalWindows > search.validationWindows)
}

function denseOf(shape: ModelShape): KeptUnits {
  return createPrunableModel(shape).modules.map(({ units }) => units)
}
