import { randomUUID } from 'node:crypto'
import { type FileHandle, open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { type RowStorage, rowStart } from '@espalier/pruning'

const numberBytes = Float64Array.BYTES_PER_ELEMENT
/** Systems take no more than 2^31 - 1 bytes at a time. */
const mostBytes = 2 ** 28

/** Files that hold the rows of factorisations which do not fit into memory. Dropped or closed they are gone. */
export class FactorFiles {
  readonly #directory: string
  readonly #files = new Map<string, { readonly path: string; readonly file: FileHandle }>()

  constructor(directory: string) {
    this.#directory = directory
  }

  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#directory)
    return bavail * bsize
  }

  /** A new file for the rows of a packed triangle of n followed by full rows. */
  async create(name: string, n: number): Promise<RowStorage> {
    await this.drop(name)
    const path = join(this.#directory, `espalier-factor-${randomUUID()}.f64`)
    const file = await open(path, 'wx+')
    this.#files.set(name, { path, file })
    return {
      async read(first, end) {
        const values = new Float64Array(rowStart(end, n) - rowStart(first, n))
        await transfer(values, rowStart(first, n), async (bytes, done, length, position) => {
          return (await file.read(bytes, done, length, position)).bytesRead
        })
        return values
      },
      async write(first, values) {
        await transfer(values, rowStart(first, n), async (bytes, done, length, position) => {
          return (await file.write(bytes, done, length, position)).bytesWritten
        })
      },
    }
  }

  async drop(name: string): Promise<void> {
    const known = this.#files.get(name)
    this.#files.delete(name)
    await known?.file.close()
    if (known) await rm(known.path, { force: true })
  }

  async close(): Promise<void> {
    for (const name of [...this.#files.keys()]) await this.drop(name)
  }
}

type Move = (bytes: Uint8Array, done: number, length: number, position: number) => Promise<number>

async function transfer(values: Float64Array, firstNumber: number, move: Move): Promise<void> {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  const position = firstNumber * numberBytes
  for (let done = 0; done < bytes.byteLength; ) {
    const moved = await move(bytes, done, Math.min(mostBytes, bytes.byteLength - done), position + done)
    if (moved === 0) throw new RangeError(`A file of a factorisation ends at byte ${position + done}`)
    done += moved
  }
}
