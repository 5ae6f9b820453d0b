import { createHash } from 'node:crypto'
import type { EvaluatePayload } from '@espalier/contracts'

/**
 * What makes two policies of a search the same one: SHA-256 of the kept units, in module order, and of the method they
 * are pruned by.
 */
export function keptHashOf({ keptUnits, method }: Pick<EvaluatePayload, 'keptUnits' | 'method'>): string {
  const suffix = method === undefined ? '' : `/${method.metric}/${method.compensation}`
  return createHash('sha256')
    .update(`${keptUnits.join(',')}${suffix}`)
    .digest('hex')
}
