import type { RecordedError } from './errors.js'
import type { ModelShape } from './model-shape.js'
import type { Compensation } from './policy.js'
import type { ResourceLimit } from './policy-constraints.js'
import type { ChosenMethod } from './pruning-method.js'
import type { SearchSettings } from './search-settings.js'
import type { EvaluatePayload, EvaluateResult, StepKind, StepPayload, StepResult } from './steps.js'

/** QUEUED -> PREPARING -> SEARCHING -> FINALISING -> EXPORTING -> SUCCEEDED; the last three from any of them. */
export const searchStates = [
  'QUEUED',
  'PREPARING',
  'SEARCHING',
  'FINALISING',
  'EXPORTING',
  'SUCCEEDED',
  'PAUSED',
  'CANCELLED',
  'FAILED',
] as const
export type SearchState = (typeof searchStates)[number]

export const terminalSearchStates: readonly SearchState[] = ['SUCCEEDED', 'CANCELLED', 'FAILED']

export const stepStates = ['PENDING', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED'] as const
export type StepState = (typeof stepStates)[number]

interface StepRecordOf<K extends StepKind> {
  readonly kind: K
  readonly round: number
  readonly index: number
  readonly state: StepState
  readonly payload: StepPayload<K>
  /** Present when DONE. */
  readonly result: StepResult<K> | null
  /** Present when FAILED. */
  readonly error: RecordedError | null
  /** What keeps its worker from the work itself, for people: a download. Only while RUNNING. */
  readonly activity?: string | null
}
export type StepRecord<K extends StepKind = StepKind> = { [P in K]: StepRecordOf<P> }[K]

/** What an earlier search of the team measured of the same model by the same protocol; targets are those of that search. */
export interface EarlierEvaluation {
  readonly payload: EvaluatePayload
  readonly result: EvaluateResult
}

/** What a search is before anything of it was done. */
export interface SearchOutline {
  readonly settings: SearchSettings
  readonly shape: ModelShape
}

/** What the state machine reads: settings, the model's shape and every step so far, in any order. */
export interface SearchRecord extends SearchOutline {
  readonly steps: readonly StepRecord[]
  /** What the search starts from, chosen once, in a fixed order; left out: nothing. */
  readonly earlier?: readonly EarlierEvaluation[]
}

/** The same, as it is read: the steps one after the other, by round, so that they need not be in memory together. */
export interface SearchSource extends Omit<SearchRecord, 'steps'> {
  /** Each step once. Of a round with evaluations, the results of its `propose` and `score` steps are left out. */
  readonly steps: AsyncIterable<StepRecord>
}

interface NewStepOf<K extends StepKind> {
  readonly kind: K
  readonly round: number
  readonly index: number
  readonly payload: StepPayload<K>
}
export type NewStep<K extends StepKind = StepKind> = { [P in K]: NewStepOf<P> }[K]

export interface TargetProgress {
  /** The sparsity asked for; for another target that of its uniform policy, null while that is not known. */
  readonly sparsityTarget: number | null
  /** What was asked for where that is no sparsity. */
  readonly target?: ResourceLimit
  /** Best perplexity measured on the validation windows so far; null: none yet. */
  readonly bestPerplexity: number | null
  readonly uniformPerplexity: number | null
}

/** Error of the predictor on the policies of a round, before it learnt from them (out of sample). */
export interface RoundError {
  readonly round: number
  readonly evaluations: number
  /** Mean absolute error of log-perplexity. */
  readonly meanAbsoluteError: number
  /** Share of the measured values inside the predicted 90 % interval. */
  readonly intervalCoverage: number
  /** The intervals missed more often than chance explains, so the next round explores more. */
  readonly drift: boolean
}

export interface SearchProgress {
  readonly state: Exclude<SearchState, 'PAUSED' | 'CANCELLED'>
  readonly round: number
  readonly rounds: number
  /** Real evaluations on the validation split, in full ones. */
  readonly evaluationsDone: number
  readonly evaluationsBudget: number
  /** Evaluations of earlier searches that it starts from; they are not in the budget. Older searches have none. */
  readonly earlierEvaluations?: number
  /** The predictor trained last started from the curve of a related model; left out: it did not. */
  readonly relatedModel?: true
  /** Share of the expected work that is done, 0 to 1. */
  readonly fraction: number
  readonly densePerplexity: number | null
  readonly targets: readonly TargetProgress[]
  readonly predictorError: RoundError | null
  /** null: still being chosen. Searches from before there was a choice have none. */
  readonly method?: ChosenMethod | null
}

/** A policy found, on the first windows of the test split, under one compensation. */
export interface CompensatedPerplexity {
  readonly compensation: Compensation
  readonly testPerplexity: number
}

export interface SearchTargetResult {
  readonly sparsityTarget: number
  readonly target?: ResourceLimit
  readonly sparsity: number
  readonly keptUnits: readonly number[]
  /** On the validation windows of the search. */
  readonly validationPerplexity: number
  /** On the windows of the final measurement; null: there was none. */
  readonly finalPerplexity: number | null
  readonly testPerplexity: number | null
  /** On the test split: sum of nll / ln 2 / UTF-8 bytes that the predicted tokens cover. */
  readonly bitsPerByte: number | null
  /** On the test split: KL(dense || policy) of next-token distributions, mean nats a predicted token. */
  readonly klDivergence: number | null
  /** On the test split: share of predicted tokens whose most probable token is the dense model's. */
  readonly top1Agreement: number | null
  readonly uniform: {
    readonly keptUnits: readonly number[]
    readonly validationPerplexity: number | null
    readonly testPerplexity: number | null
  }
  /**
   * What the compensation brings: the policy under each one that the search could use, on as many windows of the test
   * split as an evaluation of the search has. Searches from before this was measured have none.
   */
  readonly compensations?: readonly CompensatedPerplexity[]
  /** What the predictor said about the policy before it was measured; null: it was not asked. */
  readonly predicted: { readonly perplexity: number; readonly low: number; readonly high: number } | null
}

export interface SearchResult {
  readonly dense: { readonly validationPerplexity: number | null; readonly testPerplexity: number | null }
  readonly evaluations: {
    /** In full evaluations, as the budget counts them. */
    readonly total: number
    /** How many were made on so many windows of the validation split, fewest first; older results have none. */
    readonly byWindows?: readonly { readonly windows: number; readonly evaluations: number }[]
    /** Those of earlier searches that it started from, which are in no other number. */
    readonly earlier?: number
    /** Of all evaluations under the method, seconds in all and those spent on fitting weights. */
    readonly seconds?: number
    readonly fitSeconds?: number
  }
  readonly method?: ChosenMethod | null
  readonly rounds: readonly RoundError[]
  readonly targets: readonly SearchTargetResult[]
}

/** What is to be done next. */
export interface SearchPlan {
  readonly state: Exclude<SearchState, 'PAUSED' | 'CANCELLED'>
  /** Steps to create; those that exist already are left alone. */
  readonly steps: readonly NewStep[]
  readonly progress: SearchProgress
  /** Present as soon as there is something to report. */
  readonly result: SearchResult | null
  /** Present when FAILED. */
  readonly error: RecordedError | null
}
