import type { KeptUnits } from '@espalier/contracts'

export interface UnitRanking {
  /** Unit indices, most important first; equal importance by index. */
  readonly order: Int32Array
  /** Length units + 1: share of the module's importance that is removed when the k most important units are kept. */
  readonly removedShare: Float64Array
}

/** Per module the kept unit indices, ascending; length 2 x layers. */
export type KeptIndices = readonly (readonly number[])[]

export function rankUnits(importance: Float64Array): UnitRanking {
  const units = importance.length
  const importanceOf = (unit: number) => importance[unit] ?? 0
  const order = Int32Array.from(importance.keys()).sort((a, b) => importanceOf(b) - importanceOf(a) || a - b)
  const removedShare = new Float64Array(units + 1)
  for (let kept = units - 1; kept >= 0; kept--) {
    removedShare[kept] = (removedShare[kept + 1] ?? 0) + importanceOf(order[kept] ?? 0)
  }
  const total = removedShare[0] ?? 0
  for (let kept = 0; kept <= units; kept++) {
    // Without any importance (weights of zeros) every unit counts the same.
    removedShare[kept] = total > 0 ? (removedShare[kept] ?? 0) / total : (units - kept) / units
  }
  return { order, removedShare }
}

/** The most important `kept[m]` units of each module. */
export function selectKeptIndices(rankings: readonly UnitRanking[], kept: KeptUnits): KeptIndices {
  return rankings.map(({ order }, module) => Array.from(order.subarray(0, kept[module] ?? 0).toSorted()))
}
