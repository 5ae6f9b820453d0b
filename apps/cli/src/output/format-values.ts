import { nameOfTarget, type ResourceLimit } from '@espalier/contracts'

/** 0.35 -> `35 %`, 0.3499645 -> `35.00 %` with two digits. */
export function formatPercent(share: number, digits = 0): string {
  return `${(100 * share).toFixed(digits)} %`
}

/** What was asked for: a sparsity with the digits it needs, `12.5 %`, or another target, `weight-bytes <= 6GB`. */
export function formatTarget(asked: {
  readonly sparsityTarget: number | null
  readonly target?: ResourceLimit | undefined
}): string {
  return nameOfTarget(asked.target ?? asked.sparsityTarget ?? 0)
}

export function formatPerplexity(perplexity: number | null): string {
  if (perplexity === null) return '-'
  return perplexity < 1000 ? perplexity.toFixed(2) : perplexity.toPrecision(4)
}

/** Relative change, signed: `-4.9 %`. */
export function formatChange(value: number | null, reference: number | null): string {
  if (value === null || reference === null) return '-'
  const change = 100 * (value / reference - 1)
  return `${change > 0 ? '+' : ''}${change.toFixed(1)} %`
}

/** 3640512 -> `3.64 M`. */
export function formatCount(count: number): string {
  const scale = [
    { unit: ' G', size: 1e9 },
    { unit: ' M', size: 1e6 },
    { unit: ' k', size: 1e4 },
  ].find(({ size }) => count >= size)
  if (scale === undefined) return String(count)
  const size = scale.unit === ' k' ? 1e3 : scale.size
  return `${(count / size).toPrecision(3)}${scale.unit}`
}

/** Decimal units, as disks are sold: 7281024 -> `7.28 MB`. */
export function formatBytes(bytes: number): string {
  const scale = [
    { unit: 'GB', size: 1e9 },
    { unit: 'MB', size: 1e6 },
    { unit: 'kB', size: 1e3 },
  ].find(({ size }) => bytes >= size)
  return scale === undefined ? `${bytes} B` : `${(bytes / scale.size).toPrecision(3)} ${scale.unit}`
}

/** 95 -> `1:35`, 3700 -> `1:01:40`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const two = (value: number) => String(value).padStart(2, '0')
  const hours = Math.floor(whole / 3600)
  const minutes = Math.floor((whole % 3600) / 60)
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`
}
