import type { EvaluatePayload, KeptUnits } from '@espalier/contracts'
import type { PolicyTarget, PrunableModel } from '@espalier/pruning'
import { type Measurement, policyKey } from './measurement.js'

/** What earlier searches leave less to measure. Counted from their evaluations alone, so it stays while a search goes on. */
export interface EarlierKnowledge {
  /** How many of the dense model and the uniform policies of the targets need no evaluation. */
  readonly fixed: number
  /** Most windows on which each module was probed by itself. */
  readonly probed: ReadonlyMap<number, number>
  /** Heterogeneous policies measured in full, a target. */
  readonly heterogeneous: readonly number[]
  isMeasured(kept: KeptUnits, windows: number): boolean
}

export const nothingKnown: EarlierKnowledge = {
  ...{ fixed: 0, probed: new Map(), heterogeneous: [] },
  isMeasured: () => false,
}

/** Of a sparsity, which is a share. */
const ROUNDING = 1e-12

/** Purposes of policies that teach interactions of modules. */
const heterogeneousPurposes: readonly string[] = ['random', 'proposal']

/**
 * @param earlier under the method of the search, each with the target of the search that its policy fits
 * @param tried target whose uniform policy the search measures itself, to choose its metric; null: none
 */
export function createKnowledge(
  earlier: readonly Measurement[],
  targets: readonly PolicyTarget[],
  model: PrunableModel,
  validationWindows: number,
  tried: number | null,
): EarlierKnowledge {
  if (earlier.length === 0) return nothingKnown
  const windowsOf = new Map<string, number>()
  const probed = new Map<number, number>()
  const heterogeneous = targets.map(() => 0)
  for (const { payload } of earlier) {
    const { keptUnits, windows, purpose, targetIndex } = payload
    raise(windowsOf, policyKey(keptUnits), windows)
    const pruned = model.modules.filter(({ index, units }) => (keptUnits[index] ?? 0) < units)
    if (purpose === 'probe' && pruned[0] && pruned.length === 1) raise(probed, pruned[0].index, windows)
    if (targetIndex === null || windows < validationWindows || !heterogeneousPurposes.includes(purpose)) continue
    heterogeneous[targetIndex] = (heterogeneous[targetIndex] ?? 0) + 1
  }
  const isMeasured = (kept: KeptUnits, windows: number) => (windowsOf.get(policyKey(kept)) ?? 0) >= windows
  const dense = model.modules.map(({ units }) => units)
  const fixed = [dense, ...targets.filter((_, index) => index !== tried).map((target) => target.uniform())]
  return {
    ...{ fixed: fixed.filter((kept) => isMeasured(kept, validationWindows)).length, probed, heterogeneous },
    isMeasured,
  }
}

/**
 * The first target that a policy is made for: without constraints one at most as sparse, to less than a channel; under
 * constraints one whose projection leaves the policy as it is.
 */
export function fittingTarget(
  { keptUnits, sparsity }: Pick<EvaluatePayload, 'keptUnits' | 'sparsity'>,
  targets: readonly PolicyTarget[],
  { modules, prunableParameters }: PrunableModel,
): number | null {
  const channels = modules.filter(({ kind }) => kind === 'ffn').map(({ parametersPerUnit }) => parametersPerUnit)
  const channel = Math.min(...channels) / prunableParameters
  const fits = ({ allowed, project, sparsity: wanted }: PolicyTarget) =>
    allowed === null
      ? sparsity <= wanted + ROUNDING && sparsity > wanted - channel
      : policyKey(project(keptUnits)) === policyKey(keptUnits)
  const index = targets.findIndex(fits)
  return index < 0 ? null : index
}

function raise<K>(most: Map<K, number>, key: K, value: number): void {
  most.set(key, Math.max(most.get(key) ?? 0, value))
}
