import type { Page } from '@espalier/contracts'
import type { PageRequest } from './records.js'

const defaultLimit = 50

/** Prisma's arguments for one page in order of creation; one row more than wanted, to know whether there is a next page. */
export function pageArguments({ cursor, limit = defaultLimit, newestFirst = false }: PageRequest) {
  const after = cursor === undefined ? {} : { id: newestFirst ? { lt: cursor } : { gt: cursor } }
  return {
    after,
    orderBy: { id: newestFirst ? ('desc' as const) : ('asc' as const) },
    take: limit + 1,
  }
}

/** Cuts the extra row off again. */
export function toPage<Row extends { readonly id: string }, Item>(
  rows: readonly Row[],
  { limit = defaultLimit }: PageRequest,
  toItem: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit)
  return { items: shown.map(toItem), nextCursor: rows.length > limit ? (shown.at(-1)?.id ?? null) : null }
}
