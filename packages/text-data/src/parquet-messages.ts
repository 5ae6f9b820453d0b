import type { RecordedError } from '@espalier/contracts'

/** What the thread is started with. */
export interface ParquetThreadData {
  readonly file: string
  /** One column of texts, or the columns of whole records. */
  readonly wanted: { readonly column: string } | { readonly columns: readonly string[] }
  readonly mostRows: number
}

/** Answer to each request for the next row group. */
export type ParquetThreadMessage =
  | { readonly kind: 'rows'; readonly rows: readonly (string | null)[] }
  | { readonly kind: 'records'; readonly records: readonly FieldValues[] }
  | { readonly kind: 'end' }
  | { readonly kind: 'error'; readonly error: RecordedError }

/** Field -> value: texts, numbers, booleans, nulls, lists and records of these. */
export type FieldValues = Readonly<Record<string, unknown>>
