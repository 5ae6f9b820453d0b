import { join } from 'node:path'
import {
  type DownloadProgress,
  isRemoteSource,
  type ModelHubOptions,
  resolveModelSource,
  resolveTextSource,
} from '@espalier/model-hub'
import { loadConfiguration } from '@espalier/runtime'
import { formatBytes, formatSeconds } from '../output/format-values.js'
import type { Terminal } from '../output/terminal.js'
import { UsageError } from './command-errors.js'
import { resolveModelDirectory } from './resolve-model.js'

/** For the help of every command that takes a model. */
export const modelArgument = 'folder of a Hugging Face model, hf://org/name@revision, address of an archive, or "demo"'

/** Downloads what is an address; a folder and `demo` are taken as they are. Absolute folder of the model. */
export async function fetchModel(model: string, terminal: Terminal, signal: AbortSignal): Promise<string> {
  if (!isRemoteSource(model)) return resolveModelDirectory(model)
  const { directory, revision } = await resolveModelSource(model, createHubOptions(terminal, signal))
  terminal.live([])
  terminal.note(`model ${directory}${revision === null ? '' : ` (${revision.slice(0, 12)})`}`)
  return directory
}

/**
 * Downloads a text that is a file of a data set: `hf://datasets/org/name@revision/path`, with `#field` after it as
 * after a local file. Every other source is given back.
 */
export async function fetchText(source: string, terminal: Terminal, signal: AbortSignal): Promise<string> {
  if (!isRemoteSource(source)) return source
  const fetched = await resolveTextSource(source, createHubOptions(terminal, signal))
  terminal.live([])
  return fetched
}

/** Where lines cannot be replaced, as in a log. */
const noteEveryMs = 10_000

/** A model as the service takes it. */
export type SubmittedModel = { readonly path: string } | { readonly source: string }

interface SearchTexts {
  readonly calibration?: string
  readonly validation?: string
  readonly test?: string
}

/**
 * The model of a search, downloaded where it is the address of an archive; a model of the hub is downloaded by the
 * service, as are texts that are files of a data set.
 */
export async function fetchSearchModel(
  model: string,
  { calibration, validation, test }: SearchTexts,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<SubmittedModel> {
  const isWithTexts = calibration !== undefined && validation !== undefined && test !== undefined
  // Said before gigabytes are downloaded: only a folder made for Espalier has texts of its own.
  if (isRemoteSource(model) && !isWithTexts) {
    throw new UsageError(`${model} has no texts of its own: give --calibration FILE, --validation FILE and --test FILE`)
  }
  return model.startsWith('hf://') ? { source: model } : { path: await fetchModel(model, terminal, signal) }
}

function createHubOptions(terminal: Terminal, signal: AbortSignal): ModelHubOptions {
  const { hub, home } = loadConfiguration()
  let notedMs = performance.now()
  return {
    ...hub,
    archives: join(home, 'archives'),
    signal,
    onProgress(progress) {
      const line = renderDownload(progress)
      if (terminal.interactive) return terminal.live([line])
      if (performance.now() - notedMs < noteEveryMs) return
      notedMs = performance.now()
      terminal.note(line)
    },
  }
}

function renderDownload({ source, bytesDone, bytesTotal, bytesPerSecond, etaSeconds }: DownloadProgress): string {
  const total = bytesTotal === null ? '' : ` of ${formatBytes(bytesTotal)}`
  const rate = bytesPerSecond === 0 ? '' : `, ${formatBytes(Math.round(bytesPerSecond))}/s`
  const left = etaSeconds === null || etaSeconds === 0 ? '' : `, ${formatSeconds(etaSeconds)} left`
  return `downloading ${source}: ${formatBytes(bytesDone)}${total}${rate}${left}`
}
