import { EspalierError } from '@espalier/contracts'
import type { Database, Queryable } from './database.js'
import { toJson } from './json.js'
import type { NewEvent } from './records.js'
import type { EventStore } from './store.js'

const defaultLimit = 200

/**
 * Appends events within a transaction, as its last writes.
 *
 * Ids come from a sequence when a row is inserted, but rows appear when their transaction commits: without turns,
 * a reader could pass id 8 and never see id 7. The lock, held until the commit, makes writers of one search take turns.
 */
export async function appendEvents(
  transaction: Queryable,
  { searchId, teamId }: { readonly searchId: string; readonly teamId: string },
  events: readonly NewEvent[],
): Promise<void> {
  if (events.length === 0) return
  await transaction.$executeRaw`SELECT pg_advisory_xact_lock(hashtextextended(${searchId}, 0))`
  await transaction.event.createMany({
    data: events.map(({ type, data }) => ({ searchId, teamId, type, data: toJson(data) })),
  })
}

export function createEventStore({ client, transaction }: Database): EventStore {
  return {
    append: (searchId, event) =>
      transaction(async (tx) => {
        const search = await tx.search.findUnique({ where: { id: searchId }, select: { teamId: true } })
        if (search === null) {
          throw new EspalierError('RESOURCE_NOT_FOUND', `There is no search '${searchId}'.`, { searchId })
        }
        await appendEvents(tx, { searchId, teamId: search.teamId }, [event])
      }),

    async listAfter(teamId, searchId, afterId, limit = defaultLimit) {
      const rows = await client.event.findMany({
        where: { teamId, searchId, id: { gt: afterId } },
        orderBy: { id: 'asc' },
        take: limit,
        select: { id: true, searchId: true, type: true, data: true, createdAt: true },
      })
      return rows.map((row) => ({ ...row, id: Number(row.id) }))
    },
  }
}
