import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { EspalierError } from '@espalier/contracts'
import { checkDiskSpace } from './check-disk-space.js'
import { isModelFile } from './choose-model-files.js'
import { isSafeRelativePath } from './parse-model-source.js'

/** A model has some dozens of files; a repository around it some thousands. */
const maxEntries = 100_000
const maxDepth = 16

export interface ArchiveEntry {
  readonly path: string
  readonly type: 'file' | 'directory' | 'link' | 'other'
  readonly bytes: number
}

export interface ExtractionLimits {
  readonly maxBytes: number
  readonly signal?: AbortSignal | undefined
}

/**
 * What of an archive is written, and where: only files that a model is read from, only as plain files, only inside
 * one folder. Names that lead elsewhere and links are refused whole, as an honest archive of a model has none.
 */
export class Extraction {
  readonly #folder: string
  readonly #archive: string
  readonly #limits: ExtractionLimits
  readonly #written: string[] = []
  readonly #names = new Set<string>()
  readonly #seen: string[] = []
  readonly #stop = new AbortController()
  /** Aborts with the caller's, and when unpacking has failed. */
  readonly signal: AbortSignal
  #entries = 0
  #bytes = 0

  constructor(folder: string, archive: string, limits: ExtractionLimits) {
    this.#folder = folder
    this.#archive = archive
    this.#limits = limits
    this.signal = limits.signal ? AbortSignal.any([limits.signal, this.#stop.signal]) : this.#stop.signal
  }

  /** Ends what is still being written. */
  stop(reason: unknown): void {
    this.#stop.abort(reason)
  }

  /** Paths to be written, relative to the folder. */
  get written(): readonly string[] {
    return this.#written
  }

  /** Paths of all files of the archive, written or not. */
  get seen(): readonly string[] {
    return this.#seen
  }

  /**
   * Where an entry is to be written, relative to the folder; null: it is not needed.
   * @throws EspalierError MODEL_ARCHIVE_INVALID, MODEL_DISK_FULL
   */
  async admit(entry: ArchiveEntry): Promise<string | null> {
    this.signal.throwIfAborted()
    if (++this.#entries > maxEntries) throw this.refuse(`expected at most ${maxEntries} entries, found more`)
    const path = entry.path.replace(/^(?:\.\/)+/, '').replace(/\/$/, '')
    if (path === '' || path === '.') return null
    const shown = JSON.stringify(entry.path.slice(0, 200))
    if (!isSafeRelativePath(path)) throw this.refuse(`entry ${shown} leads out of its folder`)
    if (path.split('/').length > maxDepth) throw this.refuse(`entry ${shown} lies deeper than ${maxDepth} folders`)
    if (entry.type === 'link') {
      throw this.refuse(`entry ${shown} is a link: pack the files themselves (tar --dereference)`)
    }
    if (entry.type === 'file') this.#seen.push(path)
    if (entry.type !== 'file' || !isModelFile(basename(path))) return null
    // Some file systems hold two names that differ only in case for the same.
    const sameName = path.toLowerCase()
    if (this.#names.has(sameName)) throw this.refuse(`entry ${shown} is there twice`)
    this.#names.add(sameName)
    this.#written.push(path)
    this.#bytes += entry.bytes
    if (this.#bytes > this.#limits.maxBytes) {
      throw this.refuse(`it unpacks to more than the ${this.#limits.maxBytes} bytes allowed`)
    }
    await checkDiskSpace(this.#folder, entry.bytes, this.#archive)
    return path
  }

  /**
   * Writes an admitted entry.
   * @throws EspalierError MODEL_ARCHIVE_INVALID when its contents are longer or shorter than it says
   */
  async write(path: string, bytes: number, contents: AsyncIterable<Uint8Array>): Promise<void> {
    const file = join(this.#folder, ...path.split('/'))
    await mkdir(dirname(file), { recursive: true })
    let left = bytes
    const refuseLength = () => this.refuse(`entry ${JSON.stringify(path)} is not of the ${bytes} bytes it says`)
    const counted = async function* () {
      for await (const chunk of contents) {
        left -= chunk.byteLength
        if (left < 0) throw refuseLength()
        yield chunk
      }
    }
    await pipeline(counted, createWriteStream(file, { flags: 'wx' }), { signal: this.signal })
    if (left > 0) throw refuseLength()
  }

  refuse(why: string, cause?: unknown): EspalierError {
    return new EspalierError('MODEL_ARCHIVE_INVALID', `${this.#archive}: ${why}`, { source: this.#archive }, { cause })
  }
}
