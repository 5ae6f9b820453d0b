import type { RecordedError } from '@espalier/contracts'

/** What the thread is started with. */
export interface ParquetThreadData {
  readonly file: string
  readonly column: string
  readonly mostRows: number
}

/** Answer to each request for the next row group. */
export type ParquetThreadMessage =
  | { readonly kind: 'rows'; readonly rows: readonly (string | null)[] }
  | { readonly kind: 'end' }
  | { readonly kind: 'error'; readonly error: RecordedError }
