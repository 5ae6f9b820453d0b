import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { decodeFloats, type FloatDtype, floatBytes, isFloatDtype } from './float-conversion.js'
import {
  parseSafetensorsHeader,
  refuseFile,
  type SafetensorsHeader,
  type SafetensorsTensor,
} from './parse-safetensors-header.js'

/** The limit of the reference implementation; a longer header is an attack or an accident. */
const maxHeaderBytes = 100_000_000

/** Bytes read at a time, so that memory beyond the result stays small; a multiple of every element size. */
const chunkBytes = 16 * 2 ** 20

/** An open safetensors file. Close it. */
export interface SafetensorsFile extends SafetensorsHeader {
  readonly path: string
  readonly fileBytes: number
  /** The bytes as stored. */
  readTensor(name: string): Promise<Uint8Array>
  /** A float tensor of any precision as float32, row-major. */
  readFloat32(name: string): Promise<Float32Array>
  /** An F64 tensor as it stands. */
  readFloat64(name: string): Promise<Float64Array>
  close(): Promise<void>
}

/**
 * Opens a safetensors file and checks its header against the file.
 *
 * @throws EspalierError MODEL_UNREADABLE, MODEL_FILE_TRUNCATED, MODEL_FILE_INVALID; its readers also
 *   MODEL_TENSOR_MISSING and MODEL_TENSOR_INVALID (wrong dtype)
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const handle = await openForReading(path)
  try {
    const fileBytes = (await handle.stat()).size
    const header = parseSafetensorsHeader(path, await readHeader(handle, path, fileBytes), fileBytes)
    return new OpenSafetensorsFile(path, fileBytes, header, handle)
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Reads a float tensor that lies at a known place of a file, as float32. */
export async function readFloat32At(
  path: string,
  place: { readonly dtype: FloatDtype; readonly offset: number; readonly bytes: number },
): Promise<Float32Array> {
  const handle = await openForReading(path)
  try {
    return await decodeAt(handle, path, place)
  } finally {
    await handle.close()
  }
}

/** Reads `bytes` bytes of a file from `offset` on. @throws EspalierError MODEL_UNREADABLE, MODEL_FILE_TRUNCATED */
export async function readBytesAt(
  path: string,
  place: { readonly offset: number; readonly bytes: number },
): Promise<Uint8Array> {
  const handle = await openForReading(path)
  try {
    const target = new Uint8Array(place.bytes)
    await fill(handle, path, target, place.offset)
    return target
  } finally {
    await handle.close()
  }
}

class OpenSafetensorsFile implements SafetensorsFile {
  readonly metadata
  readonly tensors

  constructor(
    readonly path: string,
    readonly fileBytes: number,
    header: SafetensorsHeader,
    private readonly handle: FileHandle,
  ) {
    this.metadata = header.metadata
    this.tensors = header.tensors
  }

  async readTensor(name: string): Promise<Uint8Array> {
    const { offset, bytes } = this.getTensor(name)
    const target = new Uint8Array(bytes)
    await fill(this.handle, this.path, target, offset)
    return target
  }

  async readFloat32(name: string): Promise<Float32Array> {
    const { dtype, offset, bytes } = this.getTensor(name)
    if (!isFloatDtype(dtype)) return this.refuseDtype(name, Object.keys(floatBytes), dtype)
    return decodeAt(this.handle, this.path, { dtype, offset, bytes })
  }

  async readFloat64(name: string): Promise<Float64Array> {
    const { dtype } = this.getTensor(name)
    if (dtype !== 'F64') return this.refuseDtype(name, 'F64', dtype)
    return new Float64Array((await this.readTensor(name)).buffer)
  }

  async close(): Promise<void> {
    await this.handle.close()
  }

  private getTensor(name: string): SafetensorsTensor {
    const tensor = this.tensors.get(name)
    if (tensor) return tensor
    throw new EspalierError('MODEL_TENSOR_MISSING', `${this.path}: there is no tensor ${name}`, {
      file: this.path,
      tensor: name,
      expected: name,
      found: null,
    })
  }

  private refuseDtype(tensor: string, expected: unknown, found: string): never {
    return refuseFile(this.path, 'MODEL_TENSOR_INVALID', 'the dtype is not as expected', { tensor, expected, found })
  }
}

/** A named pipe would keep the opener waiting for a writer; Windows has neither. */
const openFlags = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)

async function openForReading(path: string): Promise<FileHandle> {
  let handle: FileHandle
  try {
    handle = await open(path, openFlags)
  } catch (cause) {
    throw unreadable(path, cause)
  }
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  throw unreadable(path, new Error('it is not a regular file'))
}

function unreadable(path: string, cause: unknown): EspalierError {
  const found = cause instanceof Error ? cause.message : String(cause)
  const details = { file: path, expected: 'a regular file', found }
  return new EspalierError('MODEL_UNREADABLE', `${path} cannot be read: ${found}`, details, { cause })
}

async function readHeader(handle: FileHandle, path: string, fileBytes: number): Promise<Uint8Array> {
  if (fileBytes < 8) {
    refuseFile(path, 'MODEL_FILE_TRUNCATED', 'the file has no header', {
      expected: '8 bytes or more',
      found: fileBytes,
    })
  }
  const prefix = new Uint8Array(8)
  await fill(handle, path, prefix, 0)
  const headerBytes = Number(new DataView(prefix.buffer).getBigUint64(0, true))
  if (headerBytes > maxHeaderBytes) {
    const expected = `at most ${maxHeaderBytes} bytes`
    refuseFile(path, 'MODEL_FILE_INVALID', 'the header is too long', { expected, found: headerBytes })
  }
  if (8 + headerBytes > fileBytes) {
    const expected = 8 + headerBytes
    refuseFile(path, 'MODEL_FILE_TRUNCATED', 'the file ends within the header', { expected, found: fileBytes })
  }
  const header = new Uint8Array(headerBytes)
  await fill(handle, path, header, 8)
  return header
}

async function decodeAt(
  handle: FileHandle,
  path: string,
  place: { readonly dtype: FloatDtype; readonly offset: number; readonly bytes: number },
): Promise<Float32Array> {
  const target = new Float32Array(place.bytes / floatBytes[place.dtype])
  if (place.dtype === 'F32') {
    await fill(handle, path, new Uint8Array(target.buffer), place.offset)
    return target
  }
  const chunk = new Uint8Array(Math.min(chunkBytes, place.bytes))
  for (let done = 0; done < place.bytes; done += chunk.byteLength) {
    const part = chunk.subarray(0, Math.min(chunk.byteLength, place.bytes - done))
    await fill(handle, path, part, place.offset + done)
    decodeFloats(part, place.dtype, target, done / floatBytes[place.dtype])
  }
  return target
}

/** Fills `target` from `position` on; the file may be short although it was long enough when it was opened. */
async function fill(handle: FileHandle, path: string, target: Uint8Array, position: number): Promise<void> {
  let filled = 0
  while (filled < target.byteLength) {
    const length = Math.min(target.byteLength - filled, chunkBytes)
    const { bytesRead } = await handle.read(target, filled, length, position + filled)
    if (bytesRead === 0) {
      const expected = position + target.byteLength
      refuseFile(path, 'MODEL_FILE_TRUNCATED', 'the file ends too early', { expected, found: position + filled })
    }
    filled += bytesRead
  }
}
