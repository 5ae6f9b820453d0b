/** One row of a data set. */
export interface TextRow {
  /** null: the row has no text. */
  readonly text: string | null
  /** The text as UTF-8 where the reader has it at hand. */
  readonly bytes: Uint8Array | null
}
