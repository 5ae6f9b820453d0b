import {
  type ChosenMethod,
  type Compensation,
  type EarlierEvaluation,
  EspalierError,
  type ImportanceMetric,
  isSameMethod,
  type KeptUnits,
  type ModelShape,
  methodOf,
  needsLatencies,
  type PruningMethod,
  type SearchOutline,
  type SearchRecord,
  type SearchSettings,
  type Split,
  type StepKind,
  type StepResult,
} from '@espalier/contracts'
import {
  createPolicyRules,
  createPrunableModel,
  type PolicyRules,
  type PolicyTarget,
  type PrunableModel,
} from '@espalier/pruning'
import { chooseCompensation, chooseMetric, countExtraTrials, trialMetrics, trialTargetIndex } from './choose-method.js'
import { createKnowledge, type EarlierKnowledge, fittingTarget, nothingKnown } from './earlier-knowledge.js'
import { type Measurement, policyKey } from './measurement.js'
import type { BudgetSettings } from './plan-budget.js'
import { inOrder, StepLedger } from './step-ledger.js'

/** What a plan reads: a ledger of the steps, what the search starts from, and what follows from both. */
export class SearchView {
  readonly settings: SearchSettings
  readonly model: PrunableModel
  readonly ledger: StepLedger
  readonly #shape: ModelShape
  #rules: PolicyRules | undefined
  #knowledge: EarlierKnowledge | undefined
  readonly compensation: Compensation
  /** Metrics tried before the search chooses one; none: there is nothing to choose. */
  readonly trialMetrics: readonly ImportanceMetric[]
  /** null: not chosen yet. */
  readonly chosen: ChosenMethod | null
  /** What earlier searches measured under the method of the search, each with the target whose policy it is. */
  readonly earlier: readonly Measurement[]
  /** Of these, what the search itself has not measured. */
  readonly additional: readonly Measurement[]

  constructor({ settings, shape }: SearchOutline, ledger: StepLedger, earlier: readonly EarlierEvaluation[] = []) {
    this.settings = settings
    this.#shape = shape
    this.model = createPrunableModel(shape)
    this.ledger = ledger
    const compensation = chooseCompensation(settings, shape)
    this.compensation = compensation.chosen
    this.trialMetrics = trialMetrics(settings, shape)
    this.chosen = this.#choose(compensation.reason)
    const { chosen } = this
    const isChosen = (measurement: Measurement) => chosen !== null && isSameMethod(this.#methodOf(measurement), chosen)
    this.earlier = this.#findTargets(earlier.filter(isChosen))
    this.additional = this.earlier.filter(({ payload }) => !this.#isOwn(payload))
  }

  get budgetSettings(): BudgetSettings {
    return { ...this.settings, trials: countExtraTrials(this.trialMetrics) }
  }

  /** The method of the search. */
  get method(): PruningMethod {
    if (this.chosen === null) throw new EspalierError('INTERNAL', 'The search has not chosen its method yet')
    const { metric, compensation } = this.chosen
    return { metric, compensation }
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

  /** Result of a step that measures nothing; undefined if it is not done, or failed. */
  findResult<K extends Exclude<StepKind, 'evaluate'>>(kind: K, round: number, index = 0): StepResult<K> | undefined {
    return (this.ledger.findStep(kind, round, index)?.result as StepResult<K> | null | undefined) ?? undefined
  }

  /** Whether exactly this policy was measured on these windows, by default under the method of the search. */
  isMeasured(kept: KeptUnits, split: Split, windows: number): boolean {
    if (this.chosen === null) return false
    return (
      this.ledger.isMeasured(this.chosen, kept, split, windows) || this.#findEarlier(kept, split, windows) !== undefined
    )
  }

  /**
   * The measurement of exactly this policy on these windows, by default under the method of the search. Only of policies
   * that are compared or reported: dense, uniform, the best of each target and what earlier searches measured.
   */
  findMeasurement(
    kept: KeptUnits,
    split: Split,
    windows: number,
    method: PruningMethod | null = this.chosen,
  ): Measurement | undefined {
    if (method === null) return undefined
    const own = this.ledger.findMeasurement(method, kept, split, windows)
    return own ?? (method === this.chosen ? this.#findEarlier(kept, split, windows) : undefined)
  }

  /**
   * The best of the policies made for a target and measured on the windows of the search, best first, each once. On tiny
   * models two targets may share their uniform policy, so that one is found by itself.
   */
  rankedForTarget(targetIndex: number): Measurement[] {
    if (this.chosen === null) return []
    const { validationWindows } = this.settings
    const uniform = this.findMeasurement(this.targetAt(targetIndex).uniform(), 'validation', validationWindows)
    const earlier = this.additional
      .filter(({ payload }) => payload.targetIndex === targetIndex)
      .filter(({ payload }) => payload.split === 'validation')
      .filter(({ payload }) => payload.windows === validationWindows)
    const found = [...earlier, ...this.ledger.bestOf(this.chosen, targetIndex)]
    if (uniform && !found.includes(uniform)) found.push(uniform)
    return found.sort((a, b) => a.result.logPerplexity - b.result.logPerplexity)
  }

  /** What earlier searches leave less to measure. */
  get knowledge(): EarlierKnowledge {
    const targets = this.findRules()?.targets
    if (!targets) return nothingKnown
    const tried = this.trialMetrics.length > 0 ? trialTargetIndex(targets) : null
    this.#knowledge ??= createKnowledge(this.earlier, targets, this.model, this.settings.validationWindows, tried)
    return this.#knowledge
  }

  #findTargets(earlier: readonly Measurement[]): Measurement[] {
    const targets = this.findRules()?.targets ?? []
    return earlier.map(({ payload, result }) => {
      return { payload: { ...payload, targetIndex: fittingTarget(payload, targets, this.model) }, result }
    })
  }

  #isOwn({ keptUnits, split, windows }: Measurement['payload']): boolean {
    return this.chosen !== null && this.ledger.isMeasured(this.chosen, keptUnits, split, windows)
  }

  #findEarlier(kept: KeptUnits, split: Split, windows: number): Measurement | undefined {
    const key = policyKey(kept)
    return this.additional.find(
      ({ payload }) => payload.split === split && payload.windows === windows && policyKey(payload.keptUnits) === key,
    )
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
    const tried = this.trialMetrics
    if (tried.length === 0) return []
    if (this.ledger.countOf('evaluate', 0, 'trials').ended < tried.length) return null
    const target = this.targetAt(trialTargetIndex(this.rules.targets))
    const { compensation } = this
    const { validationWindows: windows } = this.settings
    return tried.map((metric) => ({
      metric,
      sparsityTarget: target.sparsity,
      perplexity:
        this.findMeasurement(target.uniform(), 'validation', windows, { metric, compensation })?.result.perplexity ??
        null,
    }))
  }
}

export function createLedger({ settings, shape }: SearchOutline): StepLedger {
  return new StepLedger(settings, trialMetrics(settings, shape).length)
}

/** The view of a whole record. */
export function viewRecord(record: SearchRecord): SearchView {
  const ledger = createLedger(record)
  for (const step of inOrder(record.steps)) ledger.add(step)
  return new SearchView(record, ledger, record.earlier)
}
