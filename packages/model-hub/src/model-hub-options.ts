import { join } from 'node:path'

export const defaultEndpoint = 'https://huggingface.co'

/** How far a download is. */
export interface DownloadProgress {
  /** What is being fetched, for people: a repository or an address without its query. */
  readonly source: string
  /** Bytes on this machine, those that were there before included. */
  readonly bytesDone: number
  /** null: the server does not say. */
  readonly bytesTotal: number | null
  readonly filesDone: number
  readonly files: number
  /** Over the last seconds; 0 until something arrived. */
  readonly bytesPerSecond: number
  /** null: not known yet. */
  readonly etaSeconds: number | null
}

/** Where models come from and where they are kept. Names of variables: those of the hub's own tools. */
export interface ModelHubOptions {
  /** Folder of the hub's tools (HF_HOME), absolute; models are kept under `hub`. */
  readonly home: string
  /** Folder for what archives hold, absolute. */
  readonly archives: string
  /** Address of the hub (HF_ENDPOINT). */
  readonly endpoint?: string
  /** Access token (HF_TOKEN); without one the file `token` under `home` is used, if there is one. A secret. */
  readonly token?: string | null
  /** Use only what is in the cache (HF_HUB_OFFLINE). */
  readonly offline?: boolean
  /** Files downloaded at the same time. */
  readonly parallel?: number
  /** Attempts in a row that bring nothing before a download fails. */
  readonly attempts?: number
  /** Pause after the first failed attempt, milliseconds; it doubles. */
  readonly backoffMs?: number
  /** A connection without a byte for this long is cut and tried again, milliseconds. */
  readonly stallMs?: number
  /** Longest pause that a server may ask for (Retry-After), milliseconds. */
  readonly maxRetryAfterMs?: number
  /** Most bytes that an archive may unpack to. */
  readonly maxArchiveBytes?: number
  /** false: files of the cache are hard links or moved, never symbolic links (HF_HUB_DISABLE_SYMLINKS). */
  readonly symlinks?: boolean
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: DownloadProgress) => void
}

/** The options with every default in its place. */
export type HubSettings = Required<Omit<ModelHubOptions, 'signal' | 'onProgress'>> &
  Pick<ModelHubOptions, 'signal' | 'onProgress'> & {
    /** Folder of repositories: `models--org--name` and `datasets--org--name`. */
    readonly cache: string
  }

/** More connections than this gain nothing and are what the hub's rate limit counts. */
const defaultParallel = 4

export function createHubSettings(options: ModelHubOptions): HubSettings {
  return {
    token: null,
    offline: false,
    parallel: defaultParallel,
    attempts: 5,
    backoffMs: 500,
    stallMs: 30_000,
    maxRetryAfterMs: 300_000,
    maxArchiveBytes: 2 ** 40,
    symlinks: true,
    ...options,
    endpoint: (options.endpoint ?? defaultEndpoint).replace(/\/+$/, ''),
    cache: join(options.home, 'hub'),
  }
}
