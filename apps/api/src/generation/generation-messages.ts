import type { GeneratedPolicy, RecordedError } from '@espalier/contracts'

/** What the thread is asked. */
export interface GenerationRequest {
  readonly id: number
  /** Path of a file of format `espalier-generator/1`; its name is the SHA-256 of its content. */
  readonly path: string
  readonly sparsities: readonly number[]
}

/** What a generator says: its range, and a policy for each sparsity asked for. */
export interface Generation {
  readonly range: { readonly least: number; readonly most: number }
  readonly policies: readonly GeneratedPolicy[]
}

/** One answer for each request. */
export type GenerationAnswer =
  | { readonly id: number; readonly generation: Generation }
  | { readonly id: number; readonly error: RecordedError }
