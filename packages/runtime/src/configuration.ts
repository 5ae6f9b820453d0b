import { homedir, hostname } from 'node:os'
import { join, resolve } from 'node:path'
import {
  EspalierError,
  executionProviders,
  type Precision,
  precisions,
  type WeightPrecision,
  weightPrecisions,
} from '@espalier/contracts'
import { z } from 'zod'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

const providerChoices = ['auto', ...executionProviders] as const
const precisionChoices = ['auto', ...precisions] as const

/** Everything the environment can say, parsed. */
export interface Configuration {
  /** Postgres to use; null: the embedded one. Holds a password. */
  readonly databaseUrl: string | null
  /** Redis for the queue; null: the queue lives in Postgres. May hold a password. */
  readonly redisUrl: string | null
  /** Absolute folder of everything Espalier keeps on this machine. */
  readonly home: string
  /** Absolute root of the artefact store. */
  readonly artifacts: string
  /** Port of the API; null: the caller's choice. 0: any free one. */
  readonly port: number | null
  readonly host: string
  readonly logLevel: LogLevel
  /** Name of this machine in the list of workers. */
  readonly node: string
  /** Threads of a numeric session; null: as many as there are cores. */
  readonly threads: number | null
  /** Where evaluators compute; `auto`: on a GPU where a probe finds that one works. */
  readonly provider: (typeof providerChoices)[number]
  /** Which CUDA device an evaluator takes. */
  readonly deviceId: number
  /** In which searches are computed that an evaluator prepares; `auto`: the type of the weights on a GPU, else fp32. */
  readonly precision: Precision | 'auto'
  /** How evaluators keep half-precision weights where products are float: as stored, or all converted once. */
  readonly weights: WeightPrecision
  /** Memory that an evaluator may take, bytes; null: what its device has. */
  readonly memoryBytes: number | null
  /** Address of a running service, for clients. */
  readonly url: string | null
  /** Key for that service. A secret. */
  readonly apiKey: string | null
  /** How long a claimed step stays with a worker that has gone silent, milliseconds. */
  readonly leaseMs: number
  /** Whether a build server runs this. */
  readonly ci: boolean
  /** Where models of the Hugging Face hub come from and are kept: the variables of the hub's own tools. */
  readonly hub: HubConfiguration
}

interface HubConfiguration {
  /** Absolute folder shared with the hub's own tools; models lie under `hub`. */
  readonly home: string
  readonly endpoint: string
  /** A secret. */
  readonly token: string | null
  /** Nothing is downloaded; what is in the cache is used. */
  readonly offline: boolean
  /** Whether files of the cache may be symbolic links. */
  readonly symlinks: boolean
}

/** A lease shorter than this is lost to ordinary pauses of a busy machine. */
const minLeaseMs = 200
const maxLeaseMs = 3_600_000

/** Variables whose value must not appear in an error. */
const secretVariables: ReadonlySet<string> = new Set(['DATABASE_URL', 'REDIS_URL', 'ESPALIER_API_KEY', 'HF_TOKEN'])

const urlWith = (...protocols: readonly string[]) =>
  z.string().refine((value) => URL.canParse(value) && protocols.includes(new URL(value).protocol), {
    error: `must be a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(' or ')}`,
  })

const integerWithin = (min: number, max: number) =>
  z
    .string()
    .refine((value) => /^\d+$/.test(value) && Number(value) >= min && Number(value) <= max, {
      error: `must be a whole number from ${min} to ${max}`,
    })
    .transform(Number)

const environmentSchema = z.object({
  DATABASE_URL: urlWith('postgresql:', 'postgres:').optional(),
  REDIS_URL: urlWith('redis:', 'rediss:').optional(),
  ESPALIER_HOME: z.string().optional(),
  ESPALIER_ARTIFACTS: z.string().optional(),
  PORT: integerWithin(0, 65_535).optional(),
  HOST: z.string().optional(),
  LOG_LEVEL: z.enum(logLevels, { error: `must be one of ${logLevels.join(', ')}` }).optional(),
  ESPALIER_NODE: z
    .string()
    .regex(/^[\w.:-]{1,100}$/, { error: 'must be 1 to 100 letters, digits or any of . _ : -' })
    .optional(),
  ESPALIER_THREADS: integerWithin(1, 1024).optional(),
  ESPALIER_PROVIDER: z.enum(providerChoices, { error: `must be one of ${providerChoices.join(', ')}` }).optional(),
  ESPALIER_DEVICE: integerWithin(0, 1023).optional(),
  ESPALIER_PRECISION: z.enum(precisionChoices, { error: `must be one of ${precisionChoices.join(', ')}` }).optional(),
  ESPALIER_MEMORY: z
    .string()
    .regex(/^\d+(\.\d+)?(MB|GB)$/, { error: 'must be a number with MB or GB, as in 24GB' })
    .transform((value) => Number.parseFloat(value) * (value.endsWith('GB') ? 1e9 : 1e6))
    .optional(),
  ESPALIER_WEIGHTS: z.enum(weightPrecisions, { error: `must be one of ${weightPrecisions.join(', ')}` }).optional(),
  ESPALIER_URL: urlWith('http:', 'https:').optional(),
  ESPALIER_API_KEY: z
    .string()
    .regex(/^esp_\S+$/, { error: 'must start with esp_' })
    .optional(),
  ESPALIER_LEASE_MS: integerWithin(minLeaseMs, maxLeaseMs).optional(),
  CI: z.string().optional(),
  HF_HOME: z.string().optional(),
  XDG_CACHE_HOME: z.string().optional(),
  HF_ENDPOINT: urlWith('http:', 'https:').optional(),
  HF_TOKEN: z
    .string()
    .trim()
    .regex(/^[\x21-\x7e]+$/, { error: 'must have no spaces and only ASCII letters, digits and signs' })
    .optional(),
  HF_HUB_OFFLINE: z.string().optional(),
  HF_HUB_DISABLE_SYMLINKS: z.string().optional(),
})

/** How the hub's own tools read a switch. */
const isSwitchedOn = (value: string | undefined) => /^(1|on|yes|true)$/i.test(value ?? '')

function invalid(environment: Record<string, string>, issue: z.core.$ZodIssue): EspalierError {
  const variable = String(issue.path[0])
  const value = secretVariables.has(variable) ? null : (environment[variable] ?? '')
  const shown = value === null ? 'the value given (not shown: it may hold a secret)' : `"${value}"`
  return new EspalierError('CONFIGURATION_INVALID', `environment variable ${variable}: ${shown} ${issue.message}`, {
    variable,
    ...(value === null ? {} : { value }),
  })
}

/**
 * Parses the environment: the only reader of `process.env`. An empty variable counts as absent.
 *
 * @throws CONFIGURATION_INVALID with the variable, its value (unless secret) and what is allowed
 */
export function loadConfiguration(environment: NodeJS.ProcessEnv = process.env): Configuration {
  const given = Object.fromEntries(
    Object.entries(environment).filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== ''),
  )
  const parsed = environmentSchema.safeParse(given)
  if (!parsed.success) {
    const [issue] = parsed.error.issues
    throw issue ? invalid(given, issue) : new EspalierError('CONFIGURATION_INVALID', 'the environment is not valid')
  }
  const variables = parsed.data
  const home = resolve(variables.ESPALIER_HOME ?? join(homedir(), '.espalier'))
  return {
    databaseUrl: variables.DATABASE_URL ?? null,
    redisUrl: variables.REDIS_URL ?? null,
    home,
    artifacts: resolve(variables.ESPALIER_ARTIFACTS ?? join(home, 'artifacts')),
    port: variables.PORT ?? null,
    host: variables.HOST ?? '127.0.0.1',
    logLevel: variables.LOG_LEVEL ?? 'info',
    node: variables.ESPALIER_NODE ?? hostname(),
    threads: variables.ESPALIER_THREADS ?? null,
    provider: variables.ESPALIER_PROVIDER ?? 'auto',
    deviceId: variables.ESPALIER_DEVICE ?? 0,
    precision: variables.ESPALIER_PRECISION ?? 'auto',
    weights: variables.ESPALIER_WEIGHTS ?? 'stored',
    memoryBytes: variables.ESPALIER_MEMORY ?? null,
    url: variables.ESPALIER_URL ?? null,
    apiKey: variables.ESPALIER_API_KEY ?? null,
    leaseMs: variables.ESPALIER_LEASE_MS ?? 5_000,
    ci: variables.CI !== undefined && variables.CI !== 'false' && variables.CI !== '0',
    hub: {
      home: resolve(
        expandHome(variables.HF_HOME) ?? join(variables.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface'),
      ),
      endpoint: variables.HF_ENDPOINT ?? 'https://huggingface.co',
      token: variables.HF_TOKEN ?? null,
      offline: isSwitchedOn(variables.HF_HUB_OFFLINE),
      symlinks: !isSwitchedOn(variables.HF_HUB_DISABLE_SYMLINKS),
    },
  }
}

/** The hub's own tools take `~` in a variable for the home folder. */
function expandHome(path: string | undefined): string | undefined {
  return path?.replace(/^~(?=$|[\\/])/, homedir())
}

/** Environment for a child process: this process's own, with some variables set anew. */
export function childEnvironment(changes: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { ...process.env, ...changes }
}
