/** Conversions between the floating-point formats of weight files and float32. All are little-endian. */

export type FloatDtype = 'F64' | 'F32' | 'F16' | 'BF16'

export const floatBytes: Readonly<Record<FloatDtype, number>> = { F64: 8, F32: 4, F16: 2, BF16: 2 }

export function isFloatDtype(dtype: string): dtype is FloatDtype {
  return Object.hasOwn(floatBytes, dtype)
}

let halfTable: Float32Array | undefined

/** float32 value of each of the 65,536 half-precision bit patterns (IEEE 754 binary16). */
function halfPrecisionTable(): Float32Array {
  if (halfTable) return halfTable
  halfTable = new Float32Array(1 << 16)
  for (let bits = 0; bits < 1 << 16; bits++) {
    const sign = bits & 0x8000 ? -1 : 1
    const exponent = (bits >> 10) & 0x1f
    const fraction = bits & 0x3ff
    if (exponent === 0) halfTable[bits] = sign * fraction * 2 ** -24
    else if (exponent === 31) halfTable[bits] = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
    else halfTable[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
  }
  return halfTable
}

/** A view when the bytes are aligned for `bytesPerElement`, a copy when not. */
function aligned(bytes: Uint8Array, bytesPerElement: number): Uint8Array {
  return bytes.byteOffset % bytesPerElement === 0 ? bytes : Uint8Array.from(bytes)
}

/** Decodes `bytes` into `target` from element `at` on. */
export function decodeFloats(bytes: Uint8Array, dtype: FloatDtype, target: Float32Array, at = 0): void {
  const source = aligned(bytes, floatBytes[dtype])
  const { buffer, byteOffset } = source
  const count = source.byteLength / floatBytes[dtype]
  if (dtype === 'F64') target.set(new Float64Array(buffer, byteOffset, count), at)
  else if (dtype === 'F32') target.set(new Float32Array(buffer, byteOffset, count), at)
  else if (dtype === 'F16') decodeHalves(new Uint16Array(buffer, byteOffset, count), target, at)
  else decodeBrainFloats(new Uint16Array(buffer, byteOffset, count), target, at)
}

function decodeHalves(halves: Uint16Array, target: Float32Array, at: number): void {
  const table = halfPrecisionTable()
  for (let i = 0; i < halves.length; i++) target[at + i] = table[halves[i] as number] as number
}

/** bfloat16 is the upper half of a float32. */
function decodeBrainFloats(halves: Uint16Array, target: Float32Array, at: number): void {
  const bits = new Uint32Array(target.buffer, target.byteOffset + 4 * at, halves.length)
  for (let i = 0; i < halves.length; i++) bits[i] = (halves[i] as number) << 16
}

/** float32 values as `dtype`, rounded to nearest, ties to even; too large for F16 becomes infinity. */
export function encodeFloats(values: Float32Array, dtype: FloatDtype): Uint8Array {
  const encoded =
    dtype === 'F64'
      ? Float64Array.from(values)
      : dtype === 'F32'
        ? Float32Array.from(values)
        : dtype === 'F16'
          ? encodeHalves(values)
          : encodeBrainFloats(values)
  return new Uint8Array(encoded.buffer)
}

/** What is left of the values once they have been stored as `dtype`. */
export function roundFloats(values: Float32Array, dtype: FloatDtype): Float32Array {
  if (dtype === 'F32' || dtype === 'F64') return values
  const rounded = new Float32Array(values.length)
  decodeFloats(encodeFloats(values, dtype), dtype, rounded)
  return rounded
}

function encodeBrainFloats(values: Float32Array): Uint16Array {
  const bits = bitsOf(values)
  const halves = new Uint16Array(values.length)
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i] as number
    const notANumber = (x & 0x7fffffff) > 0x7f800000
    // Adding 0x7fff and the lowest kept bit rounds to nearest even; a NaN would overflow to infinity or zero.
    halves[i] = notANumber ? (x >>> 16) | 0x40 : (x + 0x7fff + ((x >>> 16) & 1)) >>> 16
  }
  return halves
}

function encodeHalves(values: Float32Array): Uint16Array {
  const bits = bitsOf(values)
  const halves = new Uint16Array(values.length)
  for (let i = 0; i < bits.length; i++) halves[i] = halfOf(bits[i] as number)
  return halves
}

function halfOf(x: number): number {
  const sign = (x >>> 16) & 0x8000
  const magnitude = x & 0x7fffffff
  if (magnitude > 0x7f800000) return sign | 0x7e00
  // 65,520 and more rounds to infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  if (magnitude >= 0x38800000) {
    // Normal: rebias the exponent from 127 to 15, drop 13 fraction bits, round to nearest even.
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
  }
  // Subnormal: multiples of 2^-24; below half of that, zero.
  if (magnitude < 0x33000000) return sign
  const shift = 126 - (magnitude >>> 23)
  const fraction = (magnitude & 0x7fffff) | 0x800000
  const kept = fraction >>> shift
  const rest = fraction & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0))
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length)
}
