import { createHash } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { bytesOfDtype, type SafetensorsDtype } from './parse-safetensors-header.js'

/** A tensor to write. `read` is called once, when its turn comes, so that memory holds one tensor at a time. */
export interface SafetensorsEntry {
  readonly name: string
  readonly dtype: SafetensorsDtype
  readonly shape: readonly number[]
  /** Row-major, little-endian bytes, in one piece or, when it is large, in several. */
  read(): Promise<Uint8Array> | Uint8Array | AsyncIterable<Uint8Array>
}

export interface WrittenFile {
  readonly bytes: number
  readonly sha256: string
}

/**
 * Writes a safetensors file. It appears under its name only when it is whole.
 * Tensors of wide elements come first, so that each is aligned to its element.
 *
 * @returns Size and SHA-256 of the file.
 * @throws RangeError when a tensor's bytes do not fit its dtype and shape, or a name comes twice
 */
export async function writeSafetensors(
  path: string,
  entries: readonly SafetensorsEntry[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<WrittenFile> {
  const ordered = [...entries].sort((a, b) => bytesOfDtype(b.dtype) - bytesOfDtype(a.dtype))
  const partial = `${path}.partial`
  const handle = await open(partial, 'w')
  const hash = createHash('sha256')
  let bytes = 0
  const append = async (part: Uint8Array) => {
    hash.update(part)
    await handle.writeFile(part)
    bytes += part.byteLength
  }
  try {
    await append(encodeHeader(path, ordered, metadata))
    for (const entry of ordered) {
      let written = 0
      for await (const part of partsOf(entry)) {
        written += part.byteLength
        await append(part)
      }
      checkSize(path, entry, written)
    }
    await handle.sync()
    await handle.close()
    await rename(partial, path)
  } catch (error) {
    await handle.close().catch(() => undefined)
    await rm(partial, { force: true })
    throw error
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** Bytes of a tensor. */
export function sizeOfEntry(entry: SafetensorsEntry): number {
  return entry.shape.reduce((product, length) => product * length, bytesOfDtype(entry.dtype))
}

async function* partsOf(entry: SafetensorsEntry): AsyncGenerator<Uint8Array> {
  const data = entry.read()
  if (Symbol.asyncIterator in data) yield* data
  else yield await data
}

function checkSize(path: string, entry: SafetensorsEntry, bytes: number): void {
  if (bytes === sizeOfEntry(entry)) return
  const what = `${entry.dtype} [${entry.shape.join(', ')}]`
  throw new RangeError(`${path}, tensor ${entry.name}: ${what} has ${sizeOfEntry(entry)} bytes, got ${bytes}`)
}

/** Length of the JSON (u64), then the JSON, padded with spaces so that the data start at a multiple of 8. */
function encodeHeader(
  path: string,
  entries: readonly SafetensorsEntry[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header = new Map<string, unknown>()
  if (Object.keys(metadata).length > 0) header.set('__metadata__', metadata)
  let end = 0
  for (const entry of entries) {
    if (header.has(entry.name)) throw new RangeError(`${path}: tensor ${entry.name} comes twice`)
    const begin = end
    end += sizeOfEntry(entry)
    header.set(entry.name, { dtype: entry.dtype, shape: entry.shape, data_offsets: [begin, end] })
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)))
  const padded = Math.ceil(json.byteLength / 8) * 8
  const bytes = new Uint8Array(8 + padded).fill(0x20)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true)
  bytes.set(json, 8)
  return bytes
}
