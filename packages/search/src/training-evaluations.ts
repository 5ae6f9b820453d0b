import type { EvaluatePayload, EvaluationPurpose, KeptUnits, StepRecord } from '@espalier/contracts'

/** What a predictor of the search learns from, one measured policy. */
export interface MeasuredPolicy {
  readonly purpose: EvaluationPurpose
  readonly kept: KeptUnits
  readonly logPerplexity: number
  /** What the predictor of its round said before it was measured, and how wide that round's intervals were. */
  readonly predicted?: (NonNullable<EvaluatePayload['predicted']> & { readonly intervalScale: number }) | undefined
}

/**
 * The evaluations on the windows of the search, in the order in which they were planned: what a predictor learns
 * depends on it, and must not depend on which worker was quicker.
 */
export function trainingEvaluations(steps: readonly StepRecord[], validationWindows: number): MeasuredPolicy[] {
  const scales = new Map(
    steps.flatMap(({ kind, round, result }) => (kind === 'train' && result ? [[round, result.intervalScale]] : [])),
  )
  return steps
    .filter((step) => step.kind === 'evaluate')
    .sort((a, b) => a.round - b.round || a.index - b.index)
    .flatMap(({ round, payload, result }) => {
      const { purpose, keptUnits: kept, split, windows, predicted } = payload
      if (!result || split !== 'validation' || windows !== validationWindows || purpose === 'final') return []
      const intervalScale = scales.get(round)
      const earlier = predicted && intervalScale ? { ...predicted, intervalScale } : undefined
      return [{ purpose, kept, logPerplexity: result.logPerplexity, predicted: earlier }]
    })
}
