import { z } from 'zod'

export const pageLimit = { default: 50, max: 200 } as const

/** Text that every store takes: no control characters, no halves of surrogate pairs. */
export const plainTextSchema = z.string().regex(/^[^\p{Cc}\p{Cs}]*$/u, 'text without control characters')

/** Id of a resource. */
export const idSchema = z.string().regex(/^[A-Za-z0-9_-]{1,100}$/, 'an id: letters, digits, _ and -')
export const idParamsSchema = z.strictObject({ id: idSchema })

/** Query of every list: at most `limit` items, after `cursor` (the `nextCursor` of the page before). */
export const pageQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(pageLimit.max).default(pageLimit.default),
  cursor: idSchema.optional(),
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

export const timestampSchema = z.iso.datetime()
