import { type LoadedGenerator, loadGenerator } from './load-generator.js'

/** Text of all generators held, characters; in memory they are a few times that. */
const defaultLimit = 32 * 1024 ** 2

/** Keeps the generators that were asked last, so that a warm one answers without reading its file. */
export class GeneratorCache {
  readonly #read: (path: string) => string
  readonly #limit: number
  readonly #held = new Map<string, { readonly generator: LoadedGenerator; readonly size: number }>()

  /** @param read gives the text of a file */
  constructor(read: (path: string) => string, limit = defaultLimit) {
    this.#read = read
    this.#limit = limit
  }

  get(path: string): LoadedGenerator {
    const held = this.#held.get(path) ?? this.#load(path)
    // The order of a map is that of insertion: the first is the one not asked for longest.
    this.#held.delete(path)
    this.#held.set(path, held)
    this.#forget()
    return held.generator
  }

  #load(path: string) {
    const text = this.#read(path)
    return { generator: loadGenerator(text), size: text.length }
  }

  /** The last one stays, however large. */
  #forget(): void {
    let size = [...this.#held.values()].reduce((sum, held) => sum + held.size, 0)
    for (const [path, held] of this.#held) {
      if (size <= this.#limit || this.#held.size === 1) return
      this.#held.delete(path)
      size -= held.size
    }
  }
}
