import type {
  Compensation,
  EvaluationPurpose,
  ExportFormat,
  ImportanceMetric,
  ModelShape,
  RecordedError,
  SearchProgress,
  SearchResult,
  SearchSettings,
  SearchState,
  Split,
  StepKind,
  StepPayload,
  StepRecord,
  WorkerRole,
} from '@espalier/contracts'

/** Rows as the rest of Espalier sees them: plain typed values, no trace of Prisma. */

/** A slice of a list in order of creation. `cursor` is the id of the last item seen. */
export interface PageRequest {
  readonly cursor?: string | undefined
  /** At most this many items; 50 when not given. */
  readonly limit?: number | undefined
  /** Oldest first when not given. */
  readonly newestFirst?: boolean | undefined
}

export interface Team {
  readonly id: string
  readonly name: string
  /** Share of the machines in relation to the other teams. */
  readonly weight: number
}

/** Where a model comes from: a folder that all machines see, or a source of `model-hub` pinned to a commit. */
export type ModelLocation = { readonly path: string } | { readonly source: string; readonly revision: string }

/** The location as a row has it. */
type LocatedModel =
  | { readonly path: string; readonly source: null; readonly revision: null }
  | { readonly path: null; readonly source: string; readonly revision: string }

export type ModelRow = LocatedModel & {
  readonly id: string
  readonly teamId: string
  readonly name: string
  /** Of a source by config.json alone until a search prepared the model. */
  readonly shape: ModelShape
  /** SHA-256 over configuration and weights; null until a search prepared the model. */
  readonly hash: string | null
  readonly createdAt: Date
}

export interface SearchRow {
  readonly id: string
  readonly teamId: string
  readonly modelId: string
  readonly name: string | null
  readonly settings: SearchSettings
  readonly state: SearchState
  /** State that a resumed search goes back to; null unless PAUSED. */
  readonly stateBeforePause: SearchState | null
  /** Why the search is waiting, for people; null: it is not. */
  readonly waitReason: string | null
  readonly progress: SearchProgress | null
  readonly result: SearchResult | null
  readonly error: RecordedError | null
  readonly createdAt: Date
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  readonly updatedAt: Date
}

/** Where a policy came from. */
export type PolicyOrigin = EvaluationPurpose | 'network' | 'evolution'

export interface PolicyRow {
  readonly id: string
  readonly searchId: string
  /** SHA-256 of the kept units; one policy has one row a search. */
  readonly keptHash: string
  readonly keptUnits: readonly number[]
  readonly sparsity: number
  readonly origin: PolicyOrigin
  readonly targetIndex: number | null
  readonly round: number
  readonly createdAt: Date
  readonly evaluations: readonly PolicyEvaluation[]
  /** Measured on the validation split over the most windows; null: not measured yet. */
  readonly perplexity: number | null
}

export interface PolicyEvaluation {
  readonly purpose: EvaluationPurpose
  readonly split: Split
  readonly windows: number
  readonly perplexity: number
  readonly logPerplexity: number
}

/** How a number was measured; stored with each one. */
export interface EvaluationProtocol {
  /** Tokens a window. */
  readonly windowLength: number
  readonly windows: number
  /** SHA-256 of the text. */
  readonly dataHash: string
  readonly modelHash: string
  /** For example `fp32`. */
  readonly precision: string
  readonly metric: ImportanceMetric
  readonly compensation: Compensation
  /** Versions of what computed it, for example `{"onnxruntime": "1.30.0"}`. */
  readonly runtime: Readonly<Record<string, string>>
}

export interface PredictedPerplexity {
  readonly logPerplexity: number
  readonly low: number
  readonly high: number
}

export interface EvaluationRow {
  readonly id: string
  readonly searchId: string
  readonly policyId: string
  readonly stepId: string
  readonly purpose: EvaluationPurpose
  readonly targetIndex: number | null
  readonly split: Split
  readonly windows: number
  readonly keptUnits: readonly number[]
  readonly sparsity: number
  readonly logPerplexity: number
  readonly perplexity: number
  /** Sum of the negative log-likelihoods, a window. */
  readonly nll: readonly number[]
  readonly predicted: PredictedPerplexity | null
  readonly protocol: EvaluationProtocol
  readonly workerId: string | null
  readonly computeSeconds: number
  readonly createdAt: Date
}

/** What policies of a search are generated from. */
export interface GeneratorRow {
  readonly searchId: string
  readonly round: number
  /** SHA-256 in the artefact store, format `espalier-generator/1`. */
  readonly artifact: string
}

export interface ArtifactFile {
  readonly name: string
  readonly bytes: number
  readonly sha256: string
}

export interface ArtifactRow {
  readonly id: string
  readonly searchId: string
  readonly targetIndex: number
  readonly format: ExportFormat
  /** Folder, relative to the root of the artefact store. */
  readonly directory: string
  readonly files: readonly ArtifactFile[]
  readonly parameters: number
  readonly compensationWritten: boolean
  readonly note: string | null
  /** Of the file, loaded again. */
  readonly perplexity: number
  /** What it had to be. */
  readonly expectedPerplexity: number
  readonly createdAt: Date
}

/** A calibration record in the artefact store that every search with the same `key` can use. */
export interface CalibrationRow {
  /** Hash of model hash, data hash, window length and windows. */
  readonly key: string
  readonly modelHash: string
  readonly dataHash: string
  readonly windowLength: number
  readonly windows: number
  /** SHA-256 in the artefact store. */
  readonly artifact: string
}

/** `state`, `progress`, `evaluation`, `artifact` and `failure` are written by the store itself. */
export interface NewEvent {
  readonly type: string
  readonly data: unknown
}

export interface EventRow extends NewEvent {
  /** Grows with each event of a search, in the order in which they became visible. */
  readonly id: number
  readonly searchId: string
  readonly createdAt: Date
}

/** Roles that register; `api` and `dispatcher` take no steps. */
export type ProcessRole = WorkerRole | 'api' | 'dispatcher'

export interface WorkerRow {
  readonly id: string
  readonly teamId: string | null
  readonly role: ProcessRole
  readonly node: string
  readonly pid: number
  /** Threads, provider, backend, versions: whatever the role knows about itself. */
  readonly details: Readonly<Record<string, unknown>>
  readonly startedAt: Date
  readonly heartbeatAt: Date
  /** Whether the last heartbeat is younger than `workerAliveMs`, by the database's clock. */
  readonly alive: boolean
  readonly currentStepId: string | null
  readonly doneSteps: number
  /** Results that came too late: somebody else had been given the step. */
  readonly refusedResults: number
}

/** What proves a claim. */
export interface LeaseKey {
  readonly stepId: string
  /** Grows at each claim; a result is taken only with the newest one. */
  readonly fencingToken: number
  readonly workerId: string
}

interface LeaseOf<K extends StepKind> extends LeaseKey {
  readonly searchId: string
  readonly teamId: string
  readonly round: number
  readonly kind: K
  readonly index: number
  readonly payload: StepPayload<K>
  /** Claims so far, this one included. */
  readonly attempts: number
  readonly settings: SearchSettings
  readonly model: LocatedModel & {
    readonly id: string
    readonly name: string
    readonly shape: ModelShape
    /** null until prepared. */
    readonly hash: string | null
  }
}

/** The right to do a step until the lease runs out. Discriminated by `kind`. */
export type Lease<K extends StepKind = StepKind> = { [P in K]: LeaseOf<P> }[K]

/** What is written together with a result, in the same transaction. */
export interface EffectsOfStep {
  /** `shape`: of the opened model, where it was known from config.json alone; null: it was known. */
  readonly prepare: { readonly calibration: CalibrationRow; readonly shape: ModelShape | null }
  readonly evaluate: { readonly protocol: EvaluationProtocol }
  readonly train: {
    readonly predictor: {
      readonly parameters: unknown
      readonly onnx: Uint8Array
      readonly summary: Readonly<Record<string, unknown>>
    }
  }
  /** `generator`: SHA-256 of its file; null for the agents without a network. */
  readonly propose: { readonly generator: string | null }
  readonly score: Readonly<Record<never, never>>
  readonly export: Readonly<Record<never, never>>
}
export type StepEffects<K extends StepKind> = EffectsOfStep[K] & { readonly events?: readonly NewEvent[] }

export interface StepRef {
  readonly id: string
  readonly kind: StepKind
}

/** A step that has not ended; `activity` only while RUNNING. */
export type OpenStep = Pick<StepRecord, 'kind' | 'round' | 'index' | 'state' | 'activity'>

/** Steps of a search as people look at them. */
export interface StepCount {
  readonly kind: StepKind
  readonly pending: number
  readonly running: number
  readonly done: number
  readonly failed: number
  readonly cancelled: number
}

export interface RoleLoad {
  /** Steps that could start now: pending and due, of searches that are neither paused nor ended. */
  readonly pending: number
  readonly running: number
  readonly liveWorkers: number
}
