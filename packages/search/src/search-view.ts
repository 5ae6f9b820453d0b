import type {
  EvaluatePayload,
  EvaluateResult,
  KeptUnits,
  NewStep,
  SearchRecord,
  SearchSettings,
  Split,
  StepKind,
  StepRecord,
  StepResult,
} from '@espalier/contracts'
import { createPrunableModel, type PrunableModel, uniformPolicy } from '@espalier/pruning'

/** A measured policy: what was asked and what came out. */
export interface Measurement {
  readonly payload: EvaluatePayload
  readonly result: EvaluateResult
}

/** Read access to a search record: steps by key, measurements by policy. Built once for each planning. */
export class SearchView {
  readonly settings: SearchSettings
  readonly model: PrunableModel
  readonly measurements: readonly Measurement[]
  readonly #steps = new Map<string, StepRecord>()
  readonly #measured = new Map<string, Measurement>()

  constructor(record: SearchRecord) {
    this.settings = record.settings
    this.model = createPrunableModel(record.shape)
    for (const step of record.steps) this.#steps.set(stepKey(step), step)
    this.measurements = measurementsOf(record.steps)
    for (const measurement of this.measurements) {
      const { keptUnits, split, windows } = measurement.payload
      this.#measured.set(measurementKey(keptUnits, split, windows), measurement)
    }
  }

  get steps(): Iterable<StepRecord> {
    return this.#steps.values()
  }

  findStep(step: Pick<NewStep, 'kind' | 'round' | 'index'>): StepRecord | undefined {
    return this.#steps.get(stepKey(step))
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

  /** The measurement of exactly this policy on these windows, if there is one. */
  findMeasurement(kept: KeptUnits, split: Split, windows: number): Measurement | undefined {
    return this.#measured.get(measurementKey(kept, split, windows))
  }

  /**
   * Policies made for a target and measured on the windows of the search, best first, each once. On tiny models
   * two targets may share their uniform policy, so that one is found by itself.
   */
  rankedForTarget(targetIndex: number): Measurement[] {
    const { validationWindows, targets } = this.settings
    const uniform = policyKey(uniformPolicy(this.model, targets[targetIndex] ?? 0))
    return this.measurements
      .filter(({ payload }) => payload.targetIndex === targetIndex || policyKey(payload.keptUnits) === uniform)
      .filter(({ payload }) => payload.split === 'validation')
      .filter(({ payload }) => payload.windows === validationWindows)
      .sort((a, b) => a.result.logPerplexity - b.result.logPerplexity)
  }
}

function stepKey(step: Pick<NewStep, 'kind' | 'round' | 'index'>): string {
  return `${step.round}/${step.kind}/${step.index}`
}

export function policyKey(kept: KeptUnits): string {
  return kept.join(',')
}

function measurementKey(kept: KeptUnits, split: Split, windows: number): string {
  return `${split}/${windows}/${policyKey(kept)}`
}

/** In the order of creation, whatever order the rows came in: the same record gives the same plan. */
function measurementsOf(steps: readonly StepRecord[]): Measurement[] {
  return steps
    .filter((step) => step.kind === 'evaluate')
    .sort((a, b) => a.round - b.round || a.index - b.index)
    .flatMap((step) => (step.state === 'DONE' && step.result ? [{ payload: step.payload, result: step.result }] : []))
}
