import type { KeptUnits, PruningMethod, SearchSettings, Split, StepKind, StepRecord } from '@espalier/contracts'
import { methodOf } from '@espalier/contracts'
import { hashUnits } from '@espalier/pruning'
import { type Measurement, policyKey } from './measurement.js'
import { costOf } from './rungs.js'

/** Measured policies of a target that are kept, best first; finalists are fewer. */
const BEST_OF_A_TARGET = 64

/** Purposes of which a search has as many as it has evaluations; of all others it has a few a target. */
const numerousPurposes: readonly string[] = ['probe', 'random', 'proposal']

/** Steps of one phase. */
export interface StepCounts {
  readonly total: number
  readonly pending: number
  readonly ended: number
}
const noSteps: StepCounts = { total: 0, pending: 0, ended: 0 }

/** The evaluations of a search that choose its metric, or all others. */
export type EvaluationPart = 'trials' | 'others'

/** Real evaluations in numbers. */
interface EvaluationSums {
  /** Done, on whatever split. */
  done: number
  windows: number
  /** On the validation split: full evaluations, how many on so many windows, and times. */
  full: number
  readonly byWindows: Map<number, number>
  seconds: number
  fitSeconds: number
}

/** What the predictor said of the policies of a round before they were measured, against what was measured. */
export interface RoundSums {
  evaluations: number
  /** Sum of absolute errors of log-perplexity. */
  error: number
  inside: number
}

interface RankedMeasurement extends Measurement {
  readonly round: number
  readonly index: number
}

/**
 * What planning needs of the steps of a search. Steps are added one by one and need not stay in memory: of evaluations
 * only sums, hashes and the best are kept, so a ledger of a hundred thousand is little larger than one of a hundred.
 * Sums depend on the order in their last bits: steps come by round and index.
 */
export class StepLedger {
  readonly evaluations: EvaluationSums = {
    ...{ done: 0, windows: 0, full: 0, byWindows: new Map(), seconds: 0, fitSeconds: 0 },
  }
  readonly rounds = new Map<number, RoundSums>()
  lastRound = 0
  failedSteps = 0
  /** The first step that failed, and the first that was no evaluation, by round and index. */
  firstFailed: StepRecord | undefined
  firstDecisive: StepRecord | undefined
  endedEvaluations = 0
  openSteps = 0
  readonly #settings: SearchSettings
  readonly #trials: number
  readonly #counts = new Map<string, StepCounts>()
  /** Steps that measure nothing. */
  readonly #others = new Map<string, StepRecord>()
  readonly #measured = new Map<string, Set<number>>()
  readonly #kept = new Map<string, Measurement>()
  readonly #best = new Map<string, RankedMeasurement[]>()

  /** @param trials evaluations that try the metrics: the first ones of round 0 */
  constructor(settings: SearchSettings, trials: number) {
    this.#settings = settings
    this.#trials = trials
  }

  add(step: StepRecord): void {
    this.lastRound = Math.max(this.lastRound, step.round)
    this.#count(step)
    if (step.state === 'FAILED') this.#addFailure(step)
    if (step.kind !== 'evaluate') {
      this.#others.set(stepKey(step), step)
      return
    }
    if (step.state === 'DONE' || step.state === 'FAILED') this.endedEvaluations++
    if (step.state !== 'DONE' || step.result === null) return
    const { payload, result, round, index } = step
    this.#sum({ payload, result }, round)
    this.#remember({ payload, result, round, index })
  }

  /** Steps of a kind and round; of evaluations those of one part, where it is said which. */
  countOf(kind: StepKind, round: number, part?: EvaluationPart): StepCounts {
    if (part !== undefined) return this.#counts.get(countKey(kind, round, part)) ?? noSteps
    const [trials, others] = [this.countOf(kind, round, 'trials'), this.countOf(kind, round, 'others')]
    return {
      total: trials.total + others.total,
      pending: trials.pending + others.pending,
      ended: trials.ended + others.ended,
    }
  }

  /** A step that measures nothing. */
  findStep(kind: Exclude<StepKind, 'evaluate'>, round: number, index: number): StepRecord | undefined {
    return this.#others.get(stepKey({ kind, round, index }))
  }

  /** The last predictor that was trained. */
  get lastTrained(): StepRecord<'train'> | undefined {
    let last: StepRecord<'train'> | undefined
    for (const step of this.#others.values())
      if (step.kind === 'train' && step.result !== null && step.round >= (last?.round ?? 0)) last = step
    return last
  }

  isMeasured(method: PruningMethod, kept: KeptUnits, split: Split, windows: number): boolean {
    return this.#measured.get(protocolKey(method, split, windows))?.has(hashUnits(kept)) ?? false
  }

  /** The measurement of a policy, where it is one of those kept: of a purpose of which there are few, or among the best. */
  findMeasurement(method: PruningMethod, kept: KeptUnits, split: Split, windows: number): Measurement | undefined {
    const key = policyKey(kept)
    const found = this.#kept.get(`${protocolKey(method, split, windows)}/${key}`)
    if (found || split !== 'validation' || windows !== this.#settings.validationWindows) return found
    return this.#settings.targets
      .flatMap((_, targetIndex) => this.bestOf(method, targetIndex))
      .find(({ payload }) => policyKey(payload.keptUnits) === key)
  }

  /** Policies made for a target and measured on all windows of the search under a method, the best of them first. */
  bestOf(method: PruningMethod, targetIndex: number): readonly Measurement[] {
    return this.#best.get(targetKey(method, targetIndex)) ?? []
  }

  #count({ kind, round, index, state }: StepRecord): void {
    const isEnded = state === 'DONE' || state === 'FAILED' || state === 'CANCELLED'
    if (state === 'PENDING' || state === 'RUNNING') this.openSteps++
    const part = kind === 'evaluate' && round === 0 && index < this.#trials ? 'trials' : 'others'
    const key = countKey(kind, round, part)
    const { total, pending, ended } = this.#counts.get(key) ?? noSteps
    this.#counts.set(key, {
      total: total + 1,
      pending: pending + (state === 'PENDING' ? 1 : 0),
      ended: ended + (isEnded ? 1 : 0),
    })
  }

  #addFailure(step: StepRecord): void {
    this.failedSteps++
    this.firstFailed = earlierOf(this.firstFailed, step)
    if (step.kind !== 'evaluate') this.firstDecisive = earlierOf(this.firstDecisive, step)
  }

  #sum({ payload, result }: Measurement, round: number): void {
    const sums = this.evaluations
    sums.done++
    sums.windows += payload.windows
    if (payload.predicted) this.#sumError(round, payload.predicted, result.logPerplexity)
    if (payload.split !== 'validation') return
    sums.full += costOf(payload, this.#settings)
    sums.byWindows.set(payload.windows, (sums.byWindows.get(payload.windows) ?? 0) + 1)
    sums.seconds += result.seconds
    sums.fitSeconds += result.fitSeconds ?? 0
  }

  #sumError(round: number, predicted: NonNullable<Measurement['payload']['predicted']>, measured: number): void {
    const sums = this.rounds.get(round) ?? { evaluations: 0, error: 0, inside: 0 }
    sums.evaluations++
    sums.error += Math.abs(measured - predicted.logPerplexity)
    if (measured >= predicted.low && measured <= predicted.high) sums.inside++
    this.rounds.set(round, sums)
  }

  #remember(measurement: RankedMeasurement): void {
    const { payload } = measurement
    const { split, windows, keptUnits, targetIndex, purpose } = payload
    const method = methodOf({ payload, settings: this.#settings })
    const protocol = protocolKey(method, split, windows)
    const hashes = this.#measured.get(protocol) ?? new Set()
    this.#measured.set(protocol, hashes.add(hashUnits(keptUnits)))
    if (!numerousPurposes.includes(purpose)) this.#kept.set(`${protocol}/${policyKey(keptUnits)}`, measurement)
    if (targetIndex === null || split !== 'validation' || windows !== this.#settings.validationWindows) return
    const key = targetKey(method, targetIndex)
    const best = this.#best.get(key) ?? []
    this.#best.set(key, best)
    insertRanked(best, measurement)
  }
}

/** By round and index, whatever order the rows came in: the same record gives the same plan. */
export function inOrder(steps: readonly StepRecord[]): StepRecord[] {
  return steps.toSorted((a, b) => a.round - b.round || a.index - b.index)
}

function insertRanked(best: RankedMeasurement[], measurement: RankedMeasurement): void {
  const place = best.findIndex((other) => isBefore(measurement, other))
  if (place < 0 && best.length >= BEST_OF_A_TARGET) return
  best.splice(place < 0 ? best.length : place, 0, measurement)
  best.length = Math.min(best.length, BEST_OF_A_TARGET)
}

/** Of equally good ones the one that was planned first. */
function isBefore(a: RankedMeasurement, b: RankedMeasurement): boolean {
  return (a.result.logPerplexity - b.result.logPerplexity || a.round - b.round || a.index - b.index) < 0
}

function earlierOf(first: StepRecord | undefined, step: StepRecord): StepRecord {
  return first && (first.round - step.round || first.index - step.index) <= 0 ? first : step
}

function stepKey({ kind, round, index }: Pick<StepRecord, 'kind' | 'round' | 'index'>): string {
  return `${round}/${kind}/${index}`
}

function countKey(kind: StepKind, round: number, part: EvaluationPart): string {
  return `${round}/${kind}/${part}`
}

function protocolKey({ metric, compensation }: PruningMethod, split: Split, windows: number): string {
  return `${metric}/${compensation}/${split}/${windows}`
}

function targetKey({ metric, compensation }: PruningMethod, targetIndex: number): string {
  return `${metric}/${compensation}/${targetIndex}`
}
