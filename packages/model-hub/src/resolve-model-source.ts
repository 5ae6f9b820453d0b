import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import type { SourceFile } from './fetch-files.js'
import { createHubSettings, type ModelHubOptions } from './model-hub-options.js'
import { parseModelSource } from './parse-model-source.js'
import { listFiles, resolveArchive } from './resolve-archive.js'
import { resolveRepository, resolveRepositoryFile } from './resolve-repository.js'

/** A model on this machine. */
export interface ResolvedModelSource {
  /** Absolute folder with config.json, tokenizer and safetensors. */
  readonly directory: string
  /** Commit of the hub, SHA-256 of an archive; null: a local folder. */
  readonly revision: string | null
  readonly files: readonly SourceFile[]
}

/** A file on this machine. */
export interface ResolvedDataFile {
  /** Absolute path. */
  readonly file: string
  /** Commit of the hub; null: a local file. */
  readonly revision: string | null
  readonly bytes: number
}

/**
 * Brings a model to this machine: `hf://org/name@revision` from the hub (only configuration, tokenizer and
 * safetensors; resumed, checked, kept in the cache that the hub's own tools use), an `http(s)://` archive (.tar,
 * .tar.gz, .zip), or a local folder as it is.
 *
 * @throws EspalierError MODEL_SOURCE_INVALID, MODEL_NOT_FOUND, MODEL_ACCESS_DENIED, MODEL_DOWNLOAD_FAILED,
 *   MODEL_CHECKSUM_MISMATCH, MODEL_WEIGHTS_UNSAFE, MODEL_UNREADABLE, MODEL_FILE_INVALID, MODEL_ARCHIVE_INVALID,
 *   MODEL_NOT_CACHED, MODEL_DISK_FULL; the reason of the signal when it aborts
 */
export async function resolveModelSource(source: string, options: ModelHubOptions): Promise<ResolvedModelSource> {
  options.signal?.throwIfAborted()
  const parsed = parseModelSource(source)
  switch (parsed.kind) {
    case 'folder':
      return resolveFolder(parsed.path)
    case 'repository':
      return resolveRepository(parsed.repository, createHubSettings(options))
    case 'archive':
      return resolveArchive(parsed.url, parsed.sha256, createHubSettings(options))
    case 'dataset-file':
      throw new EspalierError('MODEL_SOURCE_INVALID', `"${source}" is a file of a data set: expected a model`, {
        source,
      })
  }
}

/**
 * Brings one file of a data set to this machine: `hf://datasets/org/name@revision/path`, or a local file as it is.
 *
 * @throws EspalierError as `resolveModelSource`; TEXT_NOT_FOUND when there is no such data set, revision or file
 */
export async function resolveDataFile(source: string, options: ModelHubOptions): Promise<ResolvedDataFile> {
  options.signal?.throwIfAborted()
  const parsed = parseModelSource(source)
  if (parsed.kind === 'dataset-file') {
    return resolveRepositoryFile(parsed.repository, parsed.path, createHubSettings(options))
  }
  if (parsed.kind !== 'folder') {
    const expected = 'hf://datasets/org/name@revision/path or a local file'
    throw new EspalierError('MODEL_SOURCE_INVALID', `"${source}" is no file of a data set: expected ${expected}`, {
      source,
      expected,
    })
  }
  const file = resolve(parsed.path)
  const found = await stat(file).catch(() => null)
  if (found?.isFile()) return { file, revision: null, bytes: found.size }
  throw new EspalierError('TEXT_NOT_FOUND', `${file}: expected a file, found ${found ? 'none' : 'nothing'}`, { file })
}

async function resolveFolder(path: string): Promise<ResolvedModelSource> {
  const directory = resolve(path)
  const found = await stat(directory).catch(() => null)
  if (found?.isDirectory()) return { directory, revision: null, files: await listFiles(directory, true) }
  const what = found ? 'a file' : 'nothing'
  throw new EspalierError('MODEL_NOT_FOUND', `${directory}: expected a model folder, found ${what}`, {
    file: directory,
  })
}
