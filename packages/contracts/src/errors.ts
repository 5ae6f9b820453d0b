/**
 * The one error class of Espalier and the one catalogue of its codes.
 *
 * Two places translate it: the API turns it into problem+json (RFC 9457), a worker turns it into
 * "try again" or "failed". Everyone else throws it and lets it pass.
 */

interface CatalogueEntry {
  /** HTTP status the API answers with. */
  readonly status: number
  /** Whether the same work may succeed when tried again. */
  readonly retryable: boolean
  /** Short human title, the same for every occurrence. */
  readonly title: string
}

const entry = (status: number, title: string, retryable = false): CatalogueEntry => ({ status, title, retryable })

export const errorCatalogue = {
  REQUEST_INVALID: entry(400, 'The request is not valid'),
  REQUEST_MALFORMED: entry(400, 'The request body cannot be parsed'),
  REQUEST_TOO_LARGE: entry(413, 'The request body is too large'),
  REQUEST_MEDIA_TYPE: entry(415, 'The media type is not supported'),
  REQUEST_TIMEOUT: entry(408, 'The request took too long to arrive', true),
  REQUEST_RANGE_INVALID: entry(416, 'The range of the file cannot be given'),
  REQUEST_RATE_LIMITED: entry(429, 'Too many requests', true),
  AUTHENTICATION_REQUIRED: entry(401, 'An API key is needed'),
  AUTHENTICATION_FAILED: entry(401, 'The API key is not valid'),
  ROUTE_NOT_FOUND: entry(404, 'There is nothing at this address'),
  METHOD_NOT_ALLOWED: entry(405, 'The method is not allowed at this address'),
  RESOURCE_NOT_FOUND: entry(404, 'The resource does not exist'),
  SEARCH_STATE_CONFLICT: entry(409, 'The search is in a state that does not allow this'),
  GENERATOR_NOT_TRAINED: entry(409, 'The search has trained no policy network yet'),
  SERVICE_UNAVAILABLE: entry(503, 'The service cannot answer now', true),
  INTERNAL: entry(500, 'An unexpected error happened'),

  MODEL_NOT_FOUND: entry(404, 'The model does not exist'),
  MODEL_UNREADABLE: entry(422, 'The model folder cannot be read'),
  MODEL_CONFIG_INVALID: entry(422, 'The model configuration is not valid'),
  MODEL_UNSUPPORTED_ARCHITECTURE: entry(422, 'The model architecture is not supported'),
  MODEL_TENSOR_MISSING: entry(422, 'A tensor of the model is missing'),
  MODEL_TENSOR_INVALID: entry(422, 'A tensor of the model is not as expected'),
  MODEL_FILE_TRUNCATED: entry(422, 'A file of the model is truncated'),
  MODEL_FILE_INVALID: entry(422, 'A file of the model is not valid'),
  MODEL_TOKENIZER_MISSING: entry(422, 'The model has no tokenizer'),
  MODEL_TOKENIZER_INVALID: entry(422, 'The tokenizer of the model is not valid'),
  MODEL_WINDOW_TOO_LONG: entry(422, 'The evaluation window is longer than the model allows'),
  MODEL_CHANGED: entry(409, 'The model has changed since it was registered'),
  MODEL_SOURCE_INVALID: entry(422, 'The address of a model or data set is not valid'),
  MODEL_ACCESS_DENIED: entry(403, 'Access to a model or data set is denied'),
  MODEL_DOWNLOAD_FAILED: entry(502, 'A download of a model or data set failed', true),
  MODEL_CHECKSUM_MISMATCH: entry(502, 'A downloaded file does not have its checksum', true),
  MODEL_WEIGHTS_UNSAFE: entry(422, 'The model has its weights only in a format that can execute code'),
  MODEL_ARCHIVE_INVALID: entry(422, 'The archive of a model is not valid'),
  MODEL_NOT_CACHED: entry(503, 'The model is not in the cache, and downloads are switched off'),
  MODEL_DISK_FULL: entry(507, 'There is not enough disk space for a download'),

  TEXT_NOT_FOUND: entry(422, 'A text does not exist or cannot be read'),
  TEXT_INVALID: entry(422, 'A text is not valid'),
  TEXT_TOO_SHORT: entry(422, 'A text is shorter than one window'),
  TOKEN_OUT_OF_RANGE: entry(422, 'A token id is outside the vocabulary'),
  TASK_DOCUMENT_INVALID: entry(422, 'A document of a task is not valid'),

  POLICY_INVALID: entry(422, 'The policy is not valid'),
  POLICY_UNIT_OUT_OF_RANGE: entry(422, 'The policy keeps units that the model does not have'),
  POLICY_LAYER_COUNT: entry(422, 'The policy is for a model with another number of layers'),
  POLICY_OTHER_MODEL: entry(422, 'The policy is for another model'),
  CALIBRATION_TOO_LARGE: entry(422, 'The calibration needs more memory than there is'),
  POLICY_UNCALIBRATED: entry(422, 'The policy needs a calibration text'),
  CONSTRAINTS_CONTRADICTORY: entry(422, 'The constraints of the search contradict each other'),
  LATENCIES_INVALID: entry(422, 'The table of latencies is not for this model'),
  SPARSITY_UNREACHABLE: entry(422, 'The sparsity cannot be reached'),
  SPARSITY_UNTRAINED: entry(422, 'The generator was not trained for the sparsity'),

  EVALUATIONS_INVALID: entry(422, 'The file of evaluations is not valid'),
  EXPERIMENTS_CONFLICT: entry(409, 'The folder holds a report of something else'),
  EVALUATION_FAILED: entry(500, 'The evaluation failed', true),
  EVALUATION_OUT_OF_MEMORY: entry(507, 'The evaluation needs more memory than there is', true),
  EVALUATION_NOT_FINITE: entry(500, 'The evaluation gave a number that is not finite'),
  EXPORT_MISMATCH: entry(500, 'The pruned model does not give the perplexity of its policy'),
  LEASE_LOST: entry(409, 'The work was given to another worker'),
  WORKER_LOST: entry(500, 'Workers were lost again and again at this work'),
  SEARCH_FAILED: entry(500, 'The search failed'),
  EMBEDDED_POSTGRES_FAILED: entry(500, 'The embedded Postgres did not start'),
  CONFIGURATION_INVALID: entry(500, 'The configuration is not valid'),
  SERVICE_NOT_RUNNING: entry(503, 'No Espalier service is running'),
  SERVICE_ALREADY_RUNNING: entry(409, 'An Espalier service is running already'),
} as const satisfies Record<string, CatalogueEntry>

export type ErrorCode = keyof typeof errorCatalogue

/** Facts about an error that a program may read: the value, what is allowed, where. Never secrets. */
export type ErrorDetails = Readonly<Record<string, unknown>>

/** An error that Espalier knows. The message says what is wrong, the value, what is allowed and where. */
export class EspalierError extends Error {
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options)
    this.name = 'EspalierError'
    this.code = code
    this.details = details
  }

  get status(): number {
    return errorCatalogue[this.code].status
  }

  get retryable(): boolean {
    return errorCatalogue[this.code].retryable
  }

  get title(): string {
    return errorCatalogue[this.code].title
  }
}

/** Plain form of an error, for rows and messages between threads. */
export interface RecordedError {
  readonly code: ErrorCode
  readonly message: string
  readonly details: ErrorDetails
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorCatalogue, value)
}

/** Turns anything thrown into its recorded form; what Espalier does not know becomes `fallback`. */
export function recordError(error: unknown, fallback: ErrorCode = 'INTERNAL'): RecordedError {
  if (error instanceof EspalierError) return { code: error.code, message: error.message, details: error.details }
  return { code: fallback, message: error instanceof Error ? error.message : String(error), details: {} }
}

export function reviveError(recorded: RecordedError): EspalierError {
  return new EspalierError(recorded.code, recorded.message, recorded.details)
}
