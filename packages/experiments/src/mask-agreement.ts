import type { KeptIndices, PrunableModel } from '@espalier/pruning'

export interface MaskAgreement {
  /** Share of the units that both masks keep or both remove, a unit weighing its parameters. */
  readonly equal: number
  /** Parameters that both keep, as a share of those that either keeps (Jaccard). */
  readonly keptByBoth: number
}

/** How alike two masks of a model are. */
export function maskAgreement(model: PrunableModel, a: KeptIndices, b: KeptIndices): MaskAgreement {
  let [either, both] = [0, 0]
  for (const { index, parametersPerUnit } of model.modules) {
    const [one, other] = [new Set(a[index]), new Set(b[index])]
    const common = [...one].filter((unit) => other.has(unit)).length
    both += common * parametersPerUnit
    either += (one.size + other.size - common) * parametersPerUnit
  }
  return { equal: 1 - (either - both) / model.prunableParameters, keptByBoth: either === 0 ? 1 : both / either }
}

/** Mean over all pairs of masks; of one mask alone it is 1. */
export function meanAgreement(model: PrunableModel, masks: readonly KeptIndices[]): MaskAgreement {
  const pairs = masks.flatMap((a, index) => masks.slice(index + 1).map((b) => maskAgreement(model, a, b)))
  if (pairs.length === 0) return { equal: 1, keptByBoth: 1 }
  const meanOf = (field: keyof MaskAgreement) => pairs.reduce((sum, pair) => sum + pair[field], 0) / pairs.length
  return { equal: meanOf('equal'), keptByBoth: meanOf('keptByBoth') }
}
