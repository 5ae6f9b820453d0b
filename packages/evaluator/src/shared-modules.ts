import type { KeptIndices } from '@espalier/pruning'

/** How many first modules two policies have in common; policies as kept units, or as indices of them. */
export function countSharedModules(
  a: readonly (number | readonly number[])[],
  b: readonly (number | readonly number[])[],
): number {
  const different = a.findIndex((kept, module) => compareModules(kept, b[module] ?? -1) !== 0)
  return different < 0 ? a.length : different
}

/** Order in which policies with common first modules are neighbours. */
export function comparePolicies(a: KeptIndices, b: KeptIndices): number {
  const shared = countSharedModules(a, b)
  return shared === a.length ? 0 : compareModules(a[shared] ?? [], b[shared] ?? [])
}

/** By the number of units, then by the first unit that differs. */
function compareModules(a: number | readonly number[], b: number | readonly number[]): number {
  if (typeof a === 'number' || typeof b === 'number') return Number(a) - Number(b)
  if (a.length !== b.length) return a.length - b.length
  const different = a.findIndex((unit, index) => unit !== b[index])
  return different < 0 ? 0 : (a[different] ?? 0) - (b[different] ?? 0)
}
