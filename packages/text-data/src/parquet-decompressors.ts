import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import type { Compressors } from 'hyparquet'
import { decompressLz4, decompressLz4Raw, decompressSnappy, decompressZstd } from 'hyparquet-compressors'
import { maxColumnChunkBytes } from './text-limits.js'

type Decompress = (input: Uint8Array, outputLength: number) => Uint8Array

/** Every codec of the format but LZO, which has no writer left. The length comes from the file: it is checked first. */
export const parquetDecompressors: Compressors = {
  SNAPPY: bounded(decompressSnappy),
  ZSTD: bounded((input, length) => decompressZstd(input, new Uint8Array(length))),
  GZIP: bounded((input, length) => gunzipSync(input, { maxOutputLength: Math.max(1, length) })),
  BROTLI: bounded((input, length) => brotliDecompressSync(input, { maxOutputLength: Math.max(1, length) })),
  LZ4: bounded(decompressLz4),
  LZ4_RAW: bounded(decompressLz4Raw),
}

function bounded(decompress: Decompress): Decompress {
  return (input, outputLength) => {
    if (outputLength >= 0 && outputLength <= maxColumnChunkBytes) return decompress(input, outputLength)
    throw new Error(`a page of ${outputLength} bytes; ${maxColumnChunkBytes} are allowed`)
  }
}
