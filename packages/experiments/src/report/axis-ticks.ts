/** Where an axis has its lines. */
export interface Axis {
  readonly from: number
  readonly to: number
  readonly ticks: readonly number[]
  /** Share of the axis at which a value lies, 0 to 1. */
  readonly place: (value: number) => number
}

const WANTED_TICKS = 5
/** A logarithmic axis over less than this factor has the ticks of a linear one. */
const NARROW = 3
const MOST_DECADES = 8

/** An axis that holds all values. Values of 0 or less have no place on a logarithmic one and are left out. */
export function createAxis(values: readonly number[], scale: 'linear' | 'log'): Axis {
  const usable = values.filter((value) => Number.isFinite(value) && (scale === 'linear' || value > 0))
  const [least, most] = usable.length > 0 ? [Math.min(...usable), Math.max(...usable)] : [1, 2]
  return scale === 'log' ? createLogAxis(least, most) : createLinearAxis(least, most)
}

function createLinearAxis(least: number, most: number): Axis {
  const width = most - least || Math.abs(most) || 1
  const rough = width / WANTED_TICKS
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10)
  const first = Math.floor(least / step + 1e-9)
  const last = Math.max(first + 1, Math.ceil(most / step - 1e-9))
  const ticks = Array.from({ length: last - first + 1 }, (_, index) => round((first + index) * step))
  const [from, to] = [first * step, last * step]
  return { from, to, ticks, place: (value) => (value - from) / (to - from) }
}

/** Ticks at 1, 2 and 5 times powers of ten; of many decades at some of the powers alone. */
function createLogAxis(least: number, most: number): Axis {
  if (most < NARROW * least) return placeByLogarithm(createLinearAxis(least, most).ticks)
  const [low, high] = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))]
  const factors = high - low > 3 ? [1] : [1, 2, 5]
  const step = Math.ceil((high - low) / MOST_DECADES)
  const powers = Array.from({ length: Math.ceil((high - low) / step) + 1 }, (_, index) => low + index * step)
  const all = [...powers, high + step].flatMap((power) => factors.map((factor) => round(factor * 10 ** power)))
  const below = all.findLast((tick) => tick <= least * (1 + 1e-9)) ?? least
  const above = all.find((tick) => tick >= most * (1 - 1e-9) && tick > below) ?? most
  return placeByLogarithm(all.filter((tick) => tick >= below && tick <= above))
}

function placeByLogarithm(ticks: readonly number[]): Axis {
  const [from, to] = [ticks[0] ?? 1, ticks.at(-1) ?? 10]
  return { from, to, ticks, place: (value) => Math.log(value / from) / Math.log(to / from) }
}

function round(value: number): number {
  return Number(value.toPrecision(12))
}
