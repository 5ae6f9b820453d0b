import type { EvaluatePayload, EvaluateResult, KeptUnits } from '@espalier/contracts'

/** A measured policy: what was asked and what came out. */
export interface Measurement {
  readonly payload: EvaluatePayload
  readonly result: EvaluateResult
}

export function policyKey(kept: KeptUnits): string {
  return kept.join(',')
}
