import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const demo = fileURLToPath(new URL('../../../models/demo/', import.meta.url))

/** The files of the bundled model by name, texts and folders left out. */
export function readDemoModel(): Record<string, Buffer> {
  const entries = readdirSync(demo, { withFileTypes: true }).filter((entry) => entry.isFile())
  return Object.fromEntries(entries.map(({ name }) => [name, readFileSync(join(demo, name))]))
}

/** Bytes that look random, the same for the same seed. */
export function createBytes(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length)
  let state = seed * 2_654_435_761 + 1
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[index] = state >>> 24
  }
  return bytes
}
