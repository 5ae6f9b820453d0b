/** Keeps what was used last, up to a number of bytes. */
export class ByteCache<V> {
  readonly #limit: number
  readonly #entries = new Map<string, { readonly value: V; readonly bytes: number }>()
  #bytes = 0

  constructor(limitBytes: number) {
    this.#limit = limitBytes
  }

  find(key: string): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    // A Map lists its keys in the order they were set: the one used last comes last.
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry.value
  }

  /** Keeps nothing that alone is larger than the limit. */
  set(key: string, value: V, bytes: number): void {
    this.#drop(key)
    if (bytes > this.#limit) return
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes + bytes <= this.#limit) break
      this.#drop(oldest)
    }
    this.#entries.set(key, { value, bytes })
    this.#bytes += bytes
  }

  #drop(key: string): void {
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0
    this.#entries.delete(key)
  }
}
