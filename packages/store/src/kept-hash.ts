import { createHash } from 'node:crypto'

/** What makes two policies of a search the same one: SHA-256 of the kept units, in module order. */
export function keptHashOf(keptUnits: readonly number[]): string {
  return createHash('sha256').update(keptUnits.join(',')).digest('hex')
}
