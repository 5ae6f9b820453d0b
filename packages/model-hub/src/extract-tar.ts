import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { EspalierError } from '@espalier/contracts'
import { Parser, type ReadEntry } from 'tar'
import { isSystemError, messageOf } from './error-code.js'
import type { ArchiveEntry, Extraction } from './extraction.js'

/** Unpacks a tar, plain or compressed by gzip. @throws EspalierError MODEL_ARCHIVE_INVALID, MODEL_DISK_FULL */
export async function extractTar(file: string, extraction: Extraction): Promise<void> {
  const parser = new Parser({ strict: true })
  const taken: Promise<void>[] = []
  const failed = new Promise<never>((_, reject) => {
    parser.on('error', reject)
    parser.on('entry', (entry: ReadEntry) => {
      // The next entry begins when this one has been read, which is before it has been written.
      const taking = takeEntry(entry, extraction)
      taking.catch(reject)
      taken.push(taking)
    })
  })
  // Awaited below, but not at every moment.
  failed.catch(() => undefined)
  const ended = once(parser, 'end')
  ended.catch(() => undefined)
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) {
      extraction.signal.throwIfAborted()
      if (!parser.write(chunk)) await Promise.race([once(parser, 'drain'), failed])
    }
    parser.end()
    await Promise.race([ended, failed])
    await Promise.all(taken)
  } catch (error) {
    const { aborted, reason } = extraction.signal
    extraction.stop(error)
    await Promise.allSettled(taken)
    if (aborted) throw reason
    if (error instanceof EspalierError || isSystemError(error)) throw error
    throw extraction.refuse(`it is not a valid tar (${messageOf(error)})`, error)
  }
}

/** Entries come one after the other: the next when this one has been read to its end. */
async function takeEntry(entry: ReadEntry, extraction: Extraction): Promise<void> {
  const path = await extraction.admit(describeEntry(entry))
  if (path === null) entry.resume()
  else await extraction.write(path, entry.size, entry)
}

function describeEntry({ path, type, size }: ReadEntry): ArchiveEntry {
  switch (type) {
    case 'File':
    case 'OldFile':
    case 'ContiguousFile':
      return { path, type: 'file', bytes: size }
    case 'Directory':
    case 'GNUDumpDir':
      return { path, type: 'directory', bytes: 0 }
    case 'Link':
    case 'SymbolicLink':
      return { path, type: 'link', bytes: 0 }
    default:
      return { path, type: 'other', bytes: size }
  }
}
