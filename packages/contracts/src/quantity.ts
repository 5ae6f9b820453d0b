/** What a policy may use up. Every one grows, or stays the same, with every unit kept. */
export const resources = ['prunable-parameters', 'parameters', 'weight-bytes', 'flops', 'kv-bytes', 'latency'] as const
export type Resource = (typeof resources)[number]

const bytes = { '': 1, B: 1, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }
const counts = { '': 1, k: 1e3, K: 1e3, M: 1e6, B: 1e9 }

/** Units that an amount of a resource may have; the empty one is its base unit. */
const unitsOf: Readonly<Record<Resource, Readonly<Record<string, number>>>> = {
  'prunable-parameters': counts,
  parameters: counts,
  'weight-bytes': bytes,
  'kv-bytes': bytes,
  flops: { '': 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9, T: 1e12 },
  latency: { '': 1, s: 1, ms: 1e-3, us: 1e-6 },
}

/**
 * An amount of a resource in its base unit (parameters, bytes, FLOPs, seconds): `6GB` of `weight-bytes` -> 6e9. B, kB,
 * MB, GB, TB are decimal, KiB, MiB, GiB binary; K, M and B of parameters are thousand, million and (American) billion.
 * @returns undefined when the text is not a positive number with a unit of the resource
 */
export function findQuantity(resource: Resource, amount: string | number): number | undefined {
  const [, digits = '', unit = ''] = /^(\d{1,15}(?:\.\d{1,15})?)\s?([A-Za-z]{0,3})$/.exec(String(amount)) ?? []
  if (typeof amount === 'number') return Number.isFinite(amount) && amount > 0 ? amount : undefined
  const scale = Object.hasOwn(unitsOf[resource], unit) ? unitsOf[resource][unit] : undefined
  const value = digits === '' || scale === undefined ? 0 : Number(digits) * scale
  return value > 0 ? value : undefined
}

/** Units of a resource for messages: `B, kB, KB, MB, ...`. */
export function unitNamesOf(resource: Resource): string {
  return Object.keys(unitsOf[resource])
    .filter((unit) => unit !== '')
    .join(', ')
}
