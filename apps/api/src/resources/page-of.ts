import type { Page, PageQuery } from '@espalier/contracts'
import { RequestRejected } from '../problems/request-rejected.js'

/**
 * One page of a list that is short enough to be read whole. The cursor is the id of the last item seen.
 *
 * @throws REQUEST_INVALID when the cursor is not in the list
 */
export function pageOf<T extends { readonly id: string }>(items: readonly T[], query: PageQuery): Page<T> {
  const start = query.cursor === undefined ? 0 : items.findIndex(({ id }) => id === query.cursor) + 1
  if (query.cursor !== undefined && start === 0) {
    throw new RequestRejected([
      { in: 'query', path: '/cursor', message: 'is not the nextCursor of a page of this list', value: query.cursor },
    ])
  }
  const page = items.slice(start, start + query.limit)
  const last = page.at(-1)
  return { items: page, nextCursor: last && start + query.limit < items.length ? last.id : null }
}
