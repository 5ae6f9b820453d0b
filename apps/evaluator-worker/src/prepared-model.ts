import type { Lease, Store } from '@espalier/store'
import type { PreparedModel } from './warm-model.js'

/** What every evaluation of a search has in common, so that its numbers can be compared. */
export async function findPreparedModel(store: Store, lease: Lease): Promise<PreparedModel> {
  const prepared = await store.steps.findResult(lease.searchId, 'prepare', 0, 0)
  return { hash: lease.model.hash, precision: prepared?.precision ?? 'fp32' }
}
