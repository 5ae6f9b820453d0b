/** Numbers of units as an array of its own; `Array.from` takes several times as long. */
export function copyUnits(units: Float64Array): number[] {
  const kept: number[] = []
  for (let m = 0; m < units.length; m++) kept.push(units[m] as number)
  return kept
}
