import {
  type ChosenMethod,
  type Compensation,
  EspalierError,
  importanceMetrics,
  isSameMethod,
  type KeptUnits,
  type ModelShape,
  methodOf,
  type NewStep,
  needsLatencies,
  type PruningMethod,
  type SearchRecord,
  type SearchSettings,
  type Split,
  type StepKind,
  type StepRecord,
  type StepResult,
} from '@espalier/contracts'
import {
  createPolicyRules,
  createPrunableModel,
  type PolicyRules,
  type PolicyTarget,
  type PrunableModel,
} from '@espalier/pruning'
import { chooseCompensation, chooseMetric, trialTargetIndex } from './choose-method.js'
import { createKnowledge, type EarlierKnowledge, fittingTarget, nothingKnown } from './earlier-knowledge.js'
import { type Measurement, policyKey } from './measurement.js'
import { planTrials } from './plan-budget.js'

/** Read access to a search record: steps by key, measurements by policy. Built once for each planning. */
export class SearchView {
  readonly settings: SearchSettings
  readonly model: PrunableModel
  readonly #shape: ModelShape
  #rules: PolicyRules | undefined
  #knowledge: EarlierKnowledge | undefined
  readonly compensation: Compensation
  /** null: not chosen yet. */
  readonly chosen: ChosenMethod | null
  /** All that was measured, under whatever method. */
  readonly allMeasurements: readonly Measurement[]
  /** What earlier searches measured under the method of the search, each with the target whose policy it is. */
  readonly earlier: readonly Measurement[]
  /** What was measured under the method of the search, by earlier searches too; each policy once. */
  readonly measurements: readonly Measurement[]
  readonly #steps = new Map<string, StepRecord>()
  readonly #measured = new Map<string, Measurement>()

  constructor(record: SearchRecord) {
    this.settings = record.settings
    this.#shape = record.shape
    this.model = createPrunableModel(record.shape)
    for (const step of record.steps) this.#steps.set(stepKey(step), step)
    const compensation = chooseCompensation(record.settings, record.shape)
    this.compensation = compensation.chosen
    this.allMeasurements = measurementsOf(record.steps)
    for (const measurement of this.allMeasurements) this.#measured.set(this.#keyOf(measurement), measurement)
    this.chosen = this.#choose(compensation.reason)
    const { chosen } = this
    const isChosen = (measurement: Measurement) => chosen !== null && isSameMethod(this.#methodOf(measurement), chosen)
    this.earlier = this.#findTargets((record.earlier ?? []).filter(isChosen))
    const additional = this.earlier.filter((measurement) => !this.#measured.has(this.#keyOf(measurement)))
    for (const measurement of additional) this.#measured.set(this.#keyOf(measurement), measurement)
    this.measurements = [...additional, ...this.allMeasurements.filter(isChosen)]
  }

  /** The method of the search. */
  get method(): PruningMethod {
    if (this.chosen === null) throw new EspalierError('INTERNAL', 'The search has not chosen its method yet')
    const { metric, compensation } = this.chosen
    return { metric, compensation }
  }

  get steps(): Iterable<StepRecord> {
    return this.#steps.values()
  }

  findStep(step: Pick<NewStep, 'kind' | 'round' | 'index'>): StepRecord | undefined {
    return this.#steps.get(stepKey(step))
  }

  /** Which policies the search may measure; undefined while that depends on latencies that are not measured yet. */
  findRules(): PolicyRules | undefined {
    if (this.#rules) return this.#rules
    const latencies = this.settings.constraints?.latencies ?? this.findResult('prepare', 0)?.latencies
    if (!latencies && needsLatencies(this.settings)) return undefined
    this.#rules = createPolicyRules(this.#shape, this.settings, latencies)
    return this.#rules
  }

  get rules(): PolicyRules {
    const rules = this.findRules()
    if (rules) return rules
    throw new EspalierError('INTERNAL', 'The search needs latencies that its preparation has not measured')
  }

  targetAt(index: number): PolicyTarget {
    const target = this.rules.targets[index]
    if (target) return target
    throw new EspalierError('INTERNAL', `The search has no target ${index}`, { targets: this.rules.targets.length })
  }

  /** Steps of one kind in a round, by index; empty when they have not been created yet. */
  stepsOf(kind: StepKind, round: number): StepRecord[] {
    return [...this.#steps.values()]
      .filter((step) => step.kind === kind && step.round === round)
      .sort((a, b) => a.index - b.index)
  }

  /** Result of a step that is done; undefined if it is not, or failed. */
  findResult<K extends StepKind>(kind: K, round: number, index = 0): StepResult<K> | undefined {
    const step = this.#steps.get(stepKey({ kind, round, index }))
    return (step?.result as StepResult<K> | null | undefined) ?? undefined
  }

  /** The measurement of exactly this policy on these windows, by default under the method of the search. */
  findMeasurement(
    kept: KeptUnits,
    split: Split,
    windows: number,
    method: PruningMethod | null = this.chosen,
  ): Measurement | undefined {
    return method === null ? undefined : this.#measured.get(measurementKey(method, kept, split, windows))
  }

  /**
   * Policies made for a target and measured on the windows of the search, best first, each once. On tiny models
   * two targets may share their uniform policy, so that one is found by itself.
   */
  rankedForTarget(targetIndex: number): Measurement[] {
    const { validationWindows } = this.settings
    const uniform = policyKey(this.targetAt(targetIndex).uniform())
    return this.measurements
      .filter(({ payload }) => payload.targetIndex === targetIndex || policyKey(payload.keptUnits) === uniform)
      .filter(({ payload }) => payload.split === 'validation')
      .filter(({ payload }) => payload.windows === validationWindows)
      .sort((a, b) => a.result.logPerplexity - b.result.logPerplexity)
  }

  /** What earlier searches leave less to measure. */
  get knowledge(): EarlierKnowledge {
    const targets = this.findRules()?.targets
    if (!targets) return nothingKnown
    const tried = countTrials(this.settings) > 0 ? trialTargetIndex(targets) : null
    this.#knowledge ??= createKnowledge(this.earlier, targets, this.model, this.settings.validationWindows, tried)
    return this.#knowledge
  }

  #findTargets(earlier: readonly Measurement[]): Measurement[] {
    const targets = this.findRules()?.targets ?? []
    return earlier.map(({ payload, result }) => {
      return { payload: { ...payload, targetIndex: fittingTarget(payload, targets, this.model) }, result }
    })
  }

  #keyOf(measurement: Measurement): string {
    const { keptUnits, split, windows } = measurement.payload
    return measurementKey(this.#methodOf(measurement), keptUnits, split, windows)
  }

  #methodOf({ payload }: Measurement): PruningMethod {
    return methodOf({ payload, settings: this.settings })
  }

  #choose(compensationReason: string | null): ChosenMethod | null {
    const { settings, compensation } = this
    const because = (reason: string | null) => (reason === null ? [] : [reason])
    const reasons = because(compensationReason)
    if (settings.metric !== 'auto') return { metric: settings.metric, compensation, reasons, trials: [] }
    const trials = this.#trials()
    if (trials === null) return null
    const metric = chooseMetric(trials)
    return { metric: metric.chosen, compensation, reasons: [...because(metric.reason), ...reasons], trials }
  }

  /** What the trials of the metrics gave; null: they have not all ended. */
  #trials(): ChosenMethod['trials'] | null {
    const count = countTrials(this.settings)
    if (count === 0) return []
    const steps = this.stepsOf('evaluate', 0).filter(({ index }) => index < count)
    if (steps.length < count || steps.some(({ state }) => state === 'PENDING' || state === 'RUNNING')) return null
    const target = this.targetAt(trialTargetIndex(this.rules.targets))
    const { compensation } = this
    const { validationWindows: windows } = this.settings
    return importanceMetrics.slice(0, count).map((metric) => ({
      metric,
      sparsityTarget: target.sparsity,
      perplexity:
        this.findMeasurement(target.uniform(), 'validation', windows, { metric, compensation })?.result.perplexity ??
        null,
    }))
  }
}

/** Metrics tried before the search; 0: the metric is given, or the budget too small. */
export function countTrials(settings: Pick<SearchSettings, 'metric' | 'budget'>): number {
  return planTrials(settings) === 0 ? 0 : importanceMetrics.length
}

function stepKey(step: Pick<NewStep, 'kind' | 'round' | 'index'>): string {
  return `${step.round}/${step.kind}/${step.index}`
}

function measurementKey(
  { metric, compensation }: PruningMethod,
  kept: KeptUnits,
  split: Split,
  windows: number,
): string {
  return `${metric}/${compensation}/${split}/${windows}/${policyKey(kept)}`
}

/** In the order of creation, whatever order the rows came in: the same record gives the same plan. */
function measurementsOf(steps: readonly StepRecord[]): Measurement[] {
  return steps
    .filter((step) => step.kind === 'evaluate')
    .sort((a, b) => a.round - b.round || a.index - b.index)
    .flatMap((step) => (step.state === 'DONE' && step.result ? [{ payload: step.payload, result: step.result }] : []))
}
