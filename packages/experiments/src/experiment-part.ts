import type { ExperimentNumber, ReportPart } from '@espalier/contracts'
import type { ExperimentScale } from './experiment-scale.js'
import type { Workshop } from './laboratory.js'

export interface PartContext {
  readonly workshop: Workshop
  readonly scale: ExperimentScale
  readonly seeds: readonly number[]
  /** Share of the part that is done, and what is being done. */
  readonly progress: (share: number, doing: string) => void
  /** For loops that only compute: lets the process hear of an interruption, and rejects if there was one. */
  readonly breathe: () => Promise<void>
}

export type PartResult = Omit<ReportPart, 'part' | 'title' | 'seconds'>

/** One experiment of the report. */
export interface ExperimentPart {
  readonly part: ExperimentNumber
  readonly title: string
  run(context: PartContext): Promise<PartResult>
}
