import { mkdtemp, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { decodeFloats, encodeFloats } from './float-conversion.js'
import { openSafetensors } from './open-safetensors.js'
import { type SafetensorsEntry, writeSafetensors } from './write-safetensors.js'

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'espalier-safetensors-'))
})
afterAll(() => rm(directory, { recursive: true }))

const bytesOf = (array: Float32Array | Float64Array | Int32Array | Uint16Array | Uint8Array) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

const entries: readonly SafetensorsEntry[] = [
  { name: 'half', dtype: 'F16', shape: [3], read: () => bytesOf(Uint16Array.of(0x3c00, 0xc000, 0x7bff)) },
  { name: 'ids', dtype: 'I32', shape: [2], read: () => bytesOf(Int32Array.of(-7, 9)) },
  { name: 'sums', dtype: 'F64', shape: [1, 2], read: () => bytesOf(Float64Array.of(Math.PI, -1e300)) },
  { name: 'empty', dtype: 'F32', shape: [0, 4], read: () => new Uint8Array(0) },
  { name: 'flags', dtype: 'U8', shape: [], read: () => Uint8Array.of(5) },
]

/** A file with any header, for headers that no writer makes. */
async function fileWith(header: unknown, dataBytes: number, headerBytes?: number): Promise<string> {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header))
  const prefix = Buffer.alloc(8)
  prefix.writeBigUInt64LE(BigInt(headerBytes ?? json.length))
  const path = join(directory, 'bad.safetensors')
  await writeFile(path, Buffer.concat([prefix, json, Buffer.alloc(dataBytes)]))
  return path
}

describe('safetensors files', () => {
  it('gives back what was written, each tensor aligned to its element', async () => {
    const path = join(directory, 'all.safetensors')
    const written = await writeSafetensors(path, entries, { format: 'pt' })
    const file = await openSafetensors(path)
    expect(file.metadata).toEqual({ format: 'pt' })
    expect(file.fileBytes).toBe(written.bytes)
    expect(await file.readFloat32('half')).toEqual(Float32Array.of(1, -2, 65504))
    expect(await file.readFloat64('sums')).toEqual(Float64Array.of(Math.PI, -1e300))
    expect(new Int32Array((await file.readTensor('ids')).buffer)).toEqual(Int32Array.of(-7, 9))
    expect(file.tensors.get('empty')).toMatchObject({ shape: [0, 4], bytes: 0 })
    for (const { offset, bytes, shape } of file.tensors.values()) {
      const elements = shape.reduce((a, b) => a * b, 1)
      if (elements > 0) expect(offset % (bytes / elements)).toBe(0)
    }
    await expect(file.readFloat32('ids')).rejects.toMatchObject({ code: 'MODEL_TENSOR_INVALID' })
    await expect(file.readTensor('none')).rejects.toMatchObject({ code: 'MODEL_TENSOR_MISSING' })
    await file.close()
  })

  it('leaves nothing behind when a tensor cannot be produced', async () => {
    const path = join(directory, 'failed.safetensors')
    const failing: SafetensorsEntry = { name: 'x', dtype: 'F32', shape: [2], read: () => new Uint8Array(4) }
    await expect(writeSafetensors(path, [failing])).rejects.toThrow(/x: F32 \[2\] has 8 bytes, got 4/)
    expect((await readdir(directory)).filter((name) => name.startsWith('failed'))).toEqual([])
  })

  it('refuses a truncated file with the size it should have', async () => {
    const path = join(directory, 'cut.safetensors')
    const { bytes } = await writeSafetensors(path, entries)
    for (const size of [0, 7, 20, bytes - 1]) {
      await writeSafetensors(path, entries)
      await truncate(path, size)
      await expect(openSafetensors(path)).rejects.toMatchObject({
        code: 'MODEL_FILE_TRUNCATED',
        details: { file: path, found: size },
      })
    }
  })

  const four = { dtype: 'F32', shape: [1] }
  it.each([
    ['not JSON', '{', 0, undefined],
    ['not an object', [], 0, undefined],
    ['a header of 2^60 bytes', {}, 0, 2 ** 60],
    ['an unknown dtype', { a: { dtype: 'Q4', shape: [1], data_offsets: [0, 4] } }, 4, undefined],
    ['a negative length', { a: { dtype: 'F32', shape: [-1], data_offsets: [0, 4] } }, 4, undefined],
    ['a shape that overflows', { a: { dtype: 'F32', shape: [2 ** 52, 2 ** 52], data_offsets: [0, 4] } }, 4, undefined],
    ['a size that does not fit the shape', { a: { dtype: 'F32', shape: [2], data_offsets: [0, 4] } }, 4, undefined],
    ['reversed offsets', { a: { ...four, data_offsets: [4, 0] } }, 4, undefined],
    ['overlap', { a: { ...four, data_offsets: [0, 4] }, b: { ...four, data_offsets: [2, 6] } }, 6, undefined],
    ['a hole', { a: { ...four, data_offsets: [0, 4] }, b: { ...four, data_offsets: [6, 10] } }, 10, undefined],
    ['bytes after the data', { a: { ...four, data_offsets: [0, 4] } }, 5, undefined],
    ['metadata that is not text', { __metadata__: { a: 1 } }, 0, undefined],
  ])('refuses %s', async (_, header, dataBytes, headerBytes) => {
    const path = await fileWith(header, dataBytes, headerBytes)
    await expect(openSafetensors(path)).rejects.toMatchObject({ code: 'MODEL_FILE_INVALID', details: { file: path } })
  })

  it('refuses what is not a file', async () => {
    await expect(openSafetensors(join(directory, 'none'))).rejects.toMatchObject({ code: 'MODEL_UNREADABLE' })
    await expect(openSafetensors(directory)).rejects.toMatchObject({ code: 'MODEL_UNREADABLE' })
  })
})

describe('float conversion', () => {
  const decoded = (bytes: Uint8Array, dtype: 'F16' | 'BF16') => {
    const target = new Float32Array(bytes.byteLength / 2)
    decodeFloats(bytes, dtype, target)
    return target
  }

  it.each(['F16', 'BF16'] as const)('%s: encoding what was decoded changes no bit pattern', (dtype) => {
    const all = Uint16Array.from({ length: 1 << 16 }, (_, i) => i)
    const values = decoded(bytesOf(all), dtype)
    const again = new Uint16Array(encodeFloats(values, dtype).buffer)
    const changed = all.filter((bits, i) => again[i] !== bits && !Number.isNaN(values[i]))
    expect(changed).toHaveLength(0)
    expect(decoded(bytesOf(again), dtype)).toEqual(values)
  })

  it.each(['F16', 'BF16'] as const)('%s: rounds to the nearest, ties to even', (dtype) => {
    // The finite values of the format in order; the nearest of them is found by looking at all.
    const all = decoded(bytesOf(Uint16Array.from({ length: 1 << 15 }, (_, i) => i)), dtype)
    const grid = [...all.filter(Number.isFinite)]
    const limit = grid.at(-1) ?? 0
    fc.assert(
      fc.property(fc.integer({ min: 0, max: grid.length - 2 }), fc.double({ min: 0, max: 1, noNaN: true }), (i, t) => {
        const [low, high] = [grid[i] ?? 0, grid[i + 1] ?? 0]
        const value = Math.fround(low + (t < 0.1 ? 0.5 : t) * (high - low))
        const even = i % 2 === 0 ? low : high
        const nearest = value - low === high - value ? even : value - low < high - value ? low : high
        expect(decoded(encodeFloats(Float32Array.of(value, -value), dtype), dtype)).toEqual(
          Float32Array.of(nearest, -nearest),
        )
      }),
    )
    expect(decoded(encodeFloats(Float32Array.of(limit), dtype), dtype)[0]).toBe(limit)
  })
})
