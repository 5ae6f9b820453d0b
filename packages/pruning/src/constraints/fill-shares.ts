import type { OpenModules } from './open-modules.js'

/**
 * Water-filling: x_m = clamp(units_m (share_m + t)) with one t for all open modules, as large as the limits allow.
 * Modules that a limit then holds stay there, the others go on. Between whole units costs are interpolated.
 * @param real numbers of units, in place; modules that are not open stay and count
 */
export function fillShares(open: OpenModules, real: Float64Array): void {
  let from = open.shiftOfFirst()
  while (open.count > 0) {
    const to = open.shiftOfLast()
    open.addOthers(real)
    const shift = largestShift(from, Math.max(from, to), open)
    open.writeUnits(shift, real)
    if (shift >= to || !open.closeHeld(shift + HELD, real)) return
    from = shift
  }
}

/** A limit that a shift of this would break holds its modules. */
const HELD = 1e-7
const SHIFT_PRECISION = 1e-10
/** A share of a limit; far below what `exceeds` tells apart. */
const COST_PRECISION = 1e-12
const MOST_PASSES = 60

/**
 * Largest t in [low, high] at which the excess, which never falls, is not above 0; `low` where there is none. The
 * excess is piecewise linear, so Newton's method, kept inside a bracket that shrinks, ends on it after a few passes.
 * It begins at 0, for wishes are near what they become.
 */
function largestShift(low: number, high: number, open: OpenModules): number {
  let [below, above] = [low, high]
  let shift = Math.min(high, Math.max(low, 0))
  let isHighOpen = true
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    open.addAt(shift)
    const limit = open.fullest()
    const excess = limit < 0 ? -1 : open.excessOf(limit)
    if (excess <= COST_PRECISION) below = shift
    else above = shift
    if (Math.abs(excess) <= COST_PRECISION || above - below <= SHIFT_PRECISION) break
    const slope = limit < 0 ? 0 : open.slopeOf(limit)
    const next = shift - excess / slope
    if (next > below && next < above) shift = next
    else if (isHighOpen && above === high) [shift, isHighOpen] = [high, false]
    else shift = (below + above) / 2
  }
  return below
}
