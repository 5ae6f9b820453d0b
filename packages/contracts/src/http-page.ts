import { z } from 'zod'

export const pageLimit = { default: 50, max: 200 } as const

/** Query of every list: at most `limit` items, after `cursor` (the `nextCursor` of the page before). */
export const pageQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(pageLimit.max).default(pageLimit.default),
  cursor: z.string().min(1).max(200).optional(),
})
export type PageQuery = z.infer<typeof pageQuerySchema>

/** One page of a list; `nextCursor` is null on the last one. */
export function pageSchema<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() })
}
export interface Page<T> {
  readonly items: readonly T[]
  readonly nextCursor: string | null
}

/** Name or id of a resource in a path. */
export const idSchema = z.string().min(1).max(100)
export const idParamsSchema = z.strictObject({ id: idSchema })

export const timestampSchema = z.iso.datetime()
