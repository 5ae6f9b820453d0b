import { EspalierError } from '@espalier/contracts'
import { type Entry, openPromise } from 'yauzl'
import { isSystemError, messageOf } from './error-code.js'
import type { ArchiveEntry, Extraction } from './extraction.js'

/** Upper 16 bits of a zip entry's attributes are the mode of Unix: these of it say what kind of file. */
const fileKindMask = 0o170000
const symbolicLink = 0o120000
const regularFile = 0o100000
const encryptedFlag = 1

/** Unpacks a zip. @throws EspalierError MODEL_ARCHIVE_INVALID, MODEL_DISK_FULL */
export async function extractZip(file: string, extraction: Extraction): Promise<void> {
  try {
    const zip = await openPromise(file, { strictFileNames: true, validateEntrySizes: true, autoClose: false })
    try {
      for await (const entry of zip.eachEntry()) {
        const path = await extraction.admit(describeEntry(entry))
        if (path === null) continue
        if (entry.generalPurposeBitFlag & encryptedFlag) throw extraction.refuse(`entry "${path}" is encrypted`)
        await extraction.write(path, entry.uncompressedSize, await zip.openReadStreamPromise(entry))
      }
    } finally {
      zip.close()
    }
  } catch (error) {
    extraction.signal.throwIfAborted()
    if (error instanceof EspalierError || isSystemError(error)) throw error
    throw extraction.refuse(`it is not a valid zip (${messageOf(error)})`, error)
  }
}

function describeEntry(entry: Entry): ArchiveEntry {
  const kind = (entry.externalFileAttributes >>> 16) & fileKindMask
  const isFile = kind === regularFile || kind === 0
  const type = entry.fileName.endsWith('/') ? 'directory' : isFile ? 'file' : kind === symbolicLink ? 'link' : 'other'
  return { path: entry.fileName, type, bytes: entry.uncompressedSize }
}
