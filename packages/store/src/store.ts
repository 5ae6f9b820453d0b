import type {
  EarlierEvaluation,
  EvaluatorCapacity,
  KeptUnits,
  MemoryNeeds,
  ModelShape,
  Page,
  RecordedError,
  SearchPlan,
  SearchRecord,
  SearchSettings,
  SearchSource,
  SearchState,
  StepKind,
  StepRecord,
  StepResult,
  WorkerRole,
} from '@espalier/contracts'
import type {
  ArtifactRow,
  CalibrationRow,
  EvaluationRow,
  EventRow,
  GeneratorRow,
  Lease,
  LeaseKey,
  ModelLocation,
  ModelRow,
  NewEvent,
  OpenStep,
  PageRequest,
  PolicyRow,
  ProcessRole,
  RoleLoad,
  SearchRow,
  StepCount,
  StepEffects,
  StepRef,
  Team,
  WorkerRow,
} from './records.js'

/**
 * Everything Espalier remembers. Rows are the truth; all times are the database's clock.
 *
 * Methods that serve a person take a team id and see nothing of other teams. Methods for the
 * dispatcher and the workers take ids that came from the store itself.
 */
export interface Store {
  readonly teams: TeamStore
  readonly apiKeys: ApiKeyStore
  readonly models: ModelStore
  readonly searches: SearchStore
  readonly steps: StepStore
  readonly policies: PolicyStore
  readonly evaluations: EvaluationStore
  readonly predictors: PredictorStore
  readonly generators: GeneratorStore
  readonly artifacts: ArtifactStore
  readonly calibrations: CalibrationStore
  readonly events: EventStore
  readonly workers: WorkerStore
  /** Throws SERVICE_UNAVAILABLE when the database does not answer. */
  ping(): Promise<void>
  close(): Promise<void>
}

export interface TeamStore {
  /** The team `default`, created when it is missing. */
  ensureDefault(): Promise<Team>
}

export interface ApiKeyStore {
  /** The key itself (`esp_…`) is returned once and stored only as its SHA-256. A given `key` is taken as it is. */
  create(options: { teamId: string; name: string; key?: string }): Promise<{ keyId: string; key: string }>
  /** undefined: unknown or revoked. */
  find(key: string): Promise<{ teamId: string; keyId: string } | undefined>
}

export interface ModelStore {
  /**
   * Idempotent on the location within a team: the row that exists is returned with its name brought up to date, and its
   * shape, too, if it is a folder; what a commit holds does not change.
   */
  create(options: ModelLocation & { teamId: string; name: string; shape: ModelShape }): Promise<ModelRow>
  /** Throws MODEL_NOT_FOUND. */
  get(teamId: string, id: string): Promise<ModelRow>
  find(teamId: string, location: ModelLocation): Promise<ModelRow | undefined>
  list(teamId: string, page?: PageRequest): Promise<Page<ModelRow>>
}

export interface SearchStore {
  /** QUEUED. Throws MODEL_NOT_FOUND when the team has no such model. */
  create(options: {
    teamId: string
    modelId: string
    settings: SearchSettings
    name?: string | undefined
  }): Promise<SearchRow>
  /** Throws RESOURCE_NOT_FOUND. */
  get(teamId: string, id: string): Promise<SearchRow>
  list(teamId: string, page?: PageRequest): Promise<Page<SearchRow>>
  /** No new step starts; what runs may finish. Throws SEARCH_STATE_CONFLICT when ended or paused already. */
  requestPause(teamId: string, id: string): Promise<SearchRow>
  /** Throws SEARCH_STATE_CONFLICT unless PAUSED. */
  requestResume(teamId: string, id: string): Promise<SearchRow>
  /** Pending steps are cancelled at once, running ones learn it at their next heartbeat. Throws SEARCH_STATE_CONFLICT when ended. */
  requestCancel(teamId: string, id: string): Promise<SearchRow>
  /** Ends a search as FAILED, its pending steps as CANCELLED; nothing happens when it has ended. For the dispatcher. */
  fail(searchId: string, error: RecordedError): Promise<void>
  /** Ids of the searches that are neither ended nor paused, oldest first. */
  listActive(): Promise<readonly string[]>
  /** Why a search waits; null: it does not. Writes only a change. */
  setWaitReason(searchId: string, reason: string | null): Promise<void>
  /** Steps a kind and state, for status pages. */
  countSteps(teamId: string, id: string): Promise<readonly StepCount[]>
  /** Settings, shape, all steps and the earlier evaluations that it starts from; throws RESOURCE_NOT_FOUND. For workers: trusted ids only. */
  loadRecord(searchId: string): Promise<SearchRecord>
  /** The steps alone, a page at a time, by round, kind and index, as `plan` reads them. For workers: trusted ids only. */
  readSteps(searchId: string): AsyncIterable<StepRecord>
  /** The earlier evaluations that the search starts from; throws RESOURCE_NOT_FOUND. For workers: trusted ids only. */
  loadEarlier(searchId: string): Promise<readonly EarlierEvaluation[]>
  /**
   * Brings a search up to date in one transaction: locks it, chooses for good what it starts from as soon as it is
   * prepared, calls `plan`, which reads what is recorded,
   * creates the new steps and policies, and writes state, progress, result, error and events where they changed.
   *
   * undefined: the search is paused, ended, unknown, or another process holds it too long; try again later.
   */
  advance(
    searchId: string,
    plan: (source: SearchSource) => PlannedSearch | Promise<PlannedSearch>,
  ): Promise<AdvancedSearch | undefined>
}

/** A plan, and what evaluators must have to take its steps. */
export interface PlannedSearch extends SearchPlan {
  readonly memoryNeeds?: MemoryNeeds
}

export interface AdvancedSearch {
  /** Steps that this call created: wake their roles. */
  readonly created: readonly StepRef[]
  readonly state: SearchState
}

export interface ClaimOptions {
  readonly workerId: string
  readonly leaseMs: number
  /** Only steps that an evaluator of this capacity can do; absent: any. */
  readonly capacity?: EvaluatorCapacity
}

export interface StepStore {
  /** undefined: done, held by somebody, not due yet, or the search is paused or ended. */
  claim(stepId: string, options: ClaimOptions): Promise<Lease | undefined>
  /**
   * The next step of a role: oldest search first, then round, then index; but evaluations on the same windows by
   * their kept units, so that policies that agree on their first modules follow each other.
   */
  claimNext(role: WorkerRole, options: ClaimOptions): Promise<Lease | undefined>
  /**
   * Renews a lease. `lost`: somebody else has it or it has ended, stop without a result.
   * `cancelled`: the search has ended, stop and release.
   */
  heartbeat(lease: LeaseKey, leaseMs: number): Promise<'held' | 'lost' | 'cancelled'>
  /**
   * Records a result and its effects in one transaction. `refused`: a newer claim exists; nothing is
   * written but the worker's count of refused results. An expired lease that nobody took is still good.
   * The same result twice is `recorded` twice and written once.
   */
  complete<K extends StepKind>(
    lease: Lease<K>,
    result: StepResult<K>,
    effects: StepEffects<K>,
  ): Promise<'recorded' | 'refused'>
  /** `retrying`: PENDING again after the back-off. `failed`: FAILED for good. `refused`: a newer claim exists. */
  fail(lease: Lease, error: RecordedError, options: FailOptions): Promise<'retrying' | 'failed' | 'refused'>
  /** Tells people what keeps the work on a step waiting; null: nothing any more. Ignored when the lease is lost. */
  reportActivity(lease: LeaseKey, activity: string | null): Promise<void>
  /** Gives a step back at once, without counting the attempt. */
  release(lease: LeaseKey): Promise<void>
  /** Steps that should be woken: due and not woken for `staleWakeMs`, or with an expired lease. Ends the hopeless ones. */
  sweep(options: { staleWakeMs: number }): Promise<SweptSteps>
  /** The result of a DONE step; undefined: there is none. For workers. */
  findResult<K extends StepKind>(
    searchId: string,
    kind: K,
    round: number,
    index: number,
  ): Promise<StepResult<K> | undefined>
  /**
   * Kept units of the evaluations that nobody has taken and that `claimNext` gives after this one, on the same windows
   * and under the same method of the same search, nearest first; a hint, since other workers take steps too. At most a
   * few hundred.
   */
  listFollowing(lease: Lease<'evaluate'>): Promise<readonly KeptUnits[]>
  /**
   * The steps of a search that have not ended, as `plan` of `SearchStore.advance` reads them, in the same order. undefined:
   * the search is paused, ended or unknown.
   */
  listOpen(searchId: string): Promise<readonly OpenStep[] | undefined>
  /** Waiting and running work, and who is there to do it. */
  loadByRole(): Promise<Readonly<Record<WorkerRole, RoleLoad>>>
}

export interface FailOptions {
  readonly retryable: boolean
  /** Failures after which a retryable error is final; 3 when not given. */
  readonly maxAttempts?: number
  /** Wait before the first retry, doubled with each; 1000 when not given. */
  readonly backoffMs?: number
}

export interface SweptSteps {
  /** Ids to wake, by role. */
  readonly wake: Readonly<Record<WorkerRole, readonly string[]>>
  /** Searches whose steps were ended with WORKER_LOST: advance them. */
  readonly searches: readonly string[]
}

export interface PolicyStore {
  list(teamId: string, searchId: string, page?: PageRequest): Promise<Page<PolicyRow>>
}

export interface EvaluationStore {
  list(teamId: string, searchId: string, page?: PageRequest): Promise<Page<EvaluationRow>>
  /** All of a search, in order of creation. For workers. */
  listForSearch(searchId: string): Promise<readonly EvaluationRow[]>
}

export interface PredictorStore {
  /** `Predictor.toJSON` of the one trained in a round; saved with its `train` step. Throws RESOURCE_NOT_FOUND. For workers. */
  loadParameters(searchId: string, round: number): Promise<unknown>
  /** Its ONNX model. Throws RESOURCE_NOT_FOUND. For workers. */
  loadOnnx(searchId: string, round: number): Promise<Uint8Array>
  /**
   * The claim whose result it is: whoever held that need not load what it has. Never changes. Throws RESOURCE_NOT_FOUND.
   * For workers.
   */
  getClaim(searchId: string, round: number): Promise<Omit<LeaseKey, 'workerId'>>
  /** Parameters of the predictor of a related model that a search starts from; undefined: it starts from none. For workers. */
  findRelated(searchId: string): Promise<unknown>
}

export interface GeneratorStore {
  /** That of the last round which trained one; undefined: none has, or the team has no such search. */
  findLatest(teamId: string, searchId: string): Promise<GeneratorRow | undefined>
}

export interface ArtifactStore {
  list(teamId: string, searchId: string): Promise<readonly ArtifactRow[]>
  /** Throws RESOURCE_NOT_FOUND. */
  get(teamId: string, searchId: string, id: string): Promise<ArtifactRow>
}

export interface CalibrationStore {
  find(teamId: string, key: string): Promise<CalibrationRow | undefined>
  save(teamId: string, calibration: CalibrationRow): Promise<void>
}

export interface EventStore {
  append(searchId: string, event: NewEvent): Promise<void>
  /** In order, from the first after `afterId`; an id once passed never appears later. Limit 200 when not given. */
  listAfter(teamId: string, searchId: string, afterId: number, limit?: number): Promise<readonly EventRow[]>
}

export interface WorkerStore {
  register(options: {
    id?: string
    teamId?: string
    role: ProcessRole
    node: string
    pid: number
    details: Readonly<Record<string, unknown>>
  }): Promise<string>
  /** false: the row is gone (swept as dead), register again. */
  heartbeat(id: string): Promise<boolean>
  list(): Promise<readonly WorkerRow[]>
  remove(id: string): Promise<void>
  /** Forgets workers without a heartbeat for `deadMs`; returns how many. */
  removeDead(deadMs: number): Promise<number>
}
