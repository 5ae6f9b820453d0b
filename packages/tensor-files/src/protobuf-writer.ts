/** Wire types of protocol buffers, https://protobuf.dev/programming-guides/encoding/ */
const wireVarint = 0
const wireBytes = 2
const wireFixed32 = 5

const twoTo64 = 1n << 64n

/** Writes one protocol buffers message, fields in the order of the calls. */
export class ProtobufWriter {
  readonly #parts: Uint8Array[] = []

  /** A non-negative or negative integer; negative ones take ten bytes, two's complement of 64 bits. */
  integer(field: number, value: number | bigint): this {
    this.#parts.push(encodeVarint((field << 3) | wireVarint), encodeVarint(value))
    return this
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setFloat32(0, value, true)
    this.#parts.push(encodeVarint((field << 3) | wireFixed32), bytes)
    return this
  }

  bytes(field: number, value: Uint8Array): this {
    this.#parts.push(encodeVarint((field << 3) | wireBytes), encodeVarint(value.byteLength), value)
    return this
  }

  string(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value, 'utf8'))
  }

  message(field: number, value: ProtobufWriter): this {
    return this.bytes(field, value.finish())
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#parts)
  }
}

function encodeVarint(value: number | bigint): Uint8Array {
  let rest = BigInt(value)
  if (rest < 0n) rest += twoTo64
  const bytes: number[] = []
  do {
    const low = Number(rest & 127n)
    rest >>= 7n
    bytes.push(rest > 0n ? low | 128 : low)
  } while (rest > 0n)
  return Uint8Array.from(bytes)
}
