import {
  findQuantity,
  type LatencyTable,
  type ModelShape,
  type PolicyConstraints,
  type Resource,
  type ResourceLimit,
  resources,
  type SearchTarget,
} from '@espalier/contracts'
import fc from 'fast-check'
import { modelShape } from '../model-shape.test-support.js'

/** Shapes of any proportions; `small` ones have so few policies that all can be listed. */
export function anyShape(small = false): fc.Arbitrary<ModelShape> {
  return fc
    .record({
      layers: fc.integer({ min: 1, max: small ? 2 : 6 }),
      kvHeads: fc.integer({ min: 1, max: small ? 3 : 8 }),
      queryHeadsPerGroup: fc.integer({ min: 1, max: 4 }),
      headDim: fc.integer({ min: 1, max: 16 }),
      hiddenSize: fc.integer({ min: 1, max: 40 }),
      ffnChannels: fc.integer({ min: 1, max: small ? 6 : 300 }),
      stored: fc.constantFrom(2, 4),
    })
    .map(({ queryHeadsPerGroup, stored, ...rest }) => {
      const parameters = 10_000_000
      return modelShape({
        ...rest,
        queryHeads: rest.kvHeads * queryHeadsPerGroup,
        parameters,
        weightBytes: stored * parameters,
      })
    })
}

const anyLimit = (resource: Resource): fc.Arbitrary<ResourceLimit> =>
  fc.double({ min: 0.05, max: 1, noNaN: true }).map((ratio) => ({ resource, ratio }))

export function anyTarget(): fc.Arbitrary<SearchTarget> {
  return fc.oneof(fc.double({ min: 0.01, max: 0.95, noNaN: true }), fc.constantFrom(...resources).chain(anyLimit))
}

export function anyLatencies(shape: ModelShape): fc.Arbitrary<LatencyTable> {
  const times = (units: number) =>
    fc.tuple(fc.nat(100), fc.nat(100), fc.nat(100)).map((counts) => {
      const [low = 0, middle = 0, high = 0] = counts.sort((a, b) => a - b)
      const half = Math.floor(units / 2)
      const ends = [{ kept: 0, seconds: low }, ...(half > 0 ? [{ kept: half, seconds: middle }] : [])]
      return [...ends, { kept: units, seconds: high + 1 }]
    })
  return fc.record({
    format: fc.constant('espalier-latencies/1' as const),
    device: fc.constant('test'),
    contextLength: fc.constant(128),
    attention: times(shape.kvHeads),
    ffn: times(shape.ffnChannels),
    fixedSeconds: fc.constantFrom(0, 3),
  })
}

export function anyConstraints(shape: ModelShape): fc.Arbitrary<PolicyConstraints> {
  const layer = fc.nat(shape.layers - 1)
  const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 })
  const bound = fc
    .record({
      module: fc.constantFrom('attention' as const, 'ffn' as const),
      layers: optional(fc.array(layer, { minLength: 1, maxLength: 3 })),
    })
    .chain(({ module, layers }) => {
      const units = module === 'ffn' ? shape.ffnChannels : shape.kvHeads
      return fc.record({
        module: fc.constant(module),
        layers: fc.constant(layers),
        minimum: optional(fc.nat(units)),
        maximum: optional(fc.nat(units)),
      })
    })
  return fc.record({
    freezeLayers: optional(fc.uniqueArray(layer, { maxLength: 3 })),
    only: fc.constantFrom(undefined, undefined, undefined, 'attention', 'ffn'),
    bounds: optional(fc.array(bound, { maxLength: 3 })),
    channelMultiple: optional(fc.constantFrom(1, 2, 3, 8, 64, 128)),
    groupMultiple: optional(fc.constantFrom(1, 2, 3)),
    wholeBlockDrop: fc.constantFrom(undefined, 'none', 'attention', 'any'),
    limits: optional(fc.array(fc.constantFrom(...resources).chain(anyLimit), { maxLength: 2 })),
    contextLength: optional(fc.integer({ min: 1, max: 5000 })),
  })
}

/**
 * What a policy breaks, straight from the words of the constraints and independent of how they are compiled.
 * Resources are added up unit by unit.
 */
export function brokenBy(
  kept: readonly number[],
  shape: ModelShape,
  constraints: PolicyConstraints,
  target: SearchTarget,
  latencies: LatencyTable,
  tolerance = 1.1e-9,
): string[] {
  const broken: string[] = []
  const unitsOf = (m: number) => (m % 2 === 0 ? shape.kvHeads : shape.ffnChannels)
  if (kept.length !== 2 * shape.layers) broken.push('length')
  kept.forEach((count, m) => {
    const [layer, kind, units] = [Math.floor(m / 2), m % 2 === 0 ? 'attention' : 'ffn', unitsOf(m)]
    const say = (what: string) => broken.push(`${kind} ${layer} keeps ${count}: ${what}`)
    if (!Number.isInteger(count) || count < 0 || count > units) say('range')
    const drop = constraints.wholeBlockDrop ?? 'attention'
    if (count === 0 && drop !== 'any' && (kind === 'ffn' || drop === 'none')) say('dropped whole')
    if (constraints.freezeLayers?.includes(layer) && count !== units) say('frozen')
    if (constraints.only && constraints.only !== kind && count !== units) say('only the other kind')
    const multiple = (kind === 'ffn' ? constraints.channelMultiple : constraints.groupMultiple) ?? 1
    if (count % multiple !== 0 && count !== units) say('multiple')
    for (const bound of constraints.bounds ?? []) {
      if (bound.module !== kind || (bound.layers && !bound.layers.includes(layer))) continue
      if (count < (bound.minimum ?? 0) || count > (bound.maximum ?? units)) say('bound')
    }
  })
  const dense = kept.map((_, m) => unitsOf(m))
  const limits = [...(constraints.limits ?? [])]
  limits.push(typeof target === 'number' ? { resource: 'prunable-parameters', ratio: 1 - target } : target)
  for (const { resource, ratio, atMost } of limits) {
    const use = (policy: readonly number[]) => useOf(resource, policy, shape, constraints, latencies)
    const most = atMost === undefined ? (ratio ?? 1) * use(dense) : (findQuantity(resource, atMost) ?? 0)
    if (use(kept) > most * (1 + tolerance)) broken.push(`${resource} ${use(kept)} of ${most}`)
  }
  return broken
}

function useOf(
  resource: Resource,
  kept: readonly number[],
  shape: ModelShape,
  { contextLength }: PolicyConstraints,
  latencies: LatencyTable,
): number {
  const { queryHeads, kvHeads, headDim, hiddenSize, layers, ffnChannels, parameters, weightBytes } = shape
  const heads = queryHeads / kvHeads
  const group = hiddenSize * headDim * (heads + 1 + 1 + heads)
  const channel = hiddenSize * 3
  const sum = (ofGroups: (n: number) => number, ofChannels: (n: number) => number) =>
    kept.reduce((total, count, m) => total + (m % 2 === 0 ? ofGroups(count) : ofChannels(count)), 0)
  const weights = sum(
    (n) => n * group,
    (n) => n * channel,
  )
  const all = parameters - layers * (kvHeads * group + ffnChannels * channel) + weights
  const time = (points: LatencyTable['ffn'], n: number) => {
    const high = points.findIndex((point) => point.kept >= n)
    const [from, to] = [points[Math.max(0, high - 1)], points[high]]
    if (!from || !to) throw new Error('outside the table')
    return to.kept === from.kept
      ? to.seconds
      : from.seconds + ((to.seconds - from.seconds) * (n - from.kept)) / (to.kept - from.kept)
  }
  switch (resource) {
    case 'prunable-parameters':
      return weights
    case 'parameters':
      return all
    case 'weight-bytes':
      return (all * weightBytes) / parameters
    case 'kv-bytes':
      return sum(
        (n) => n * 2 * headDim * (weightBytes / parameters),
        () => 0,
      )
    case 'flops': {
      const context = contextLength ?? Math.min(2048, shape.maxPositions)
      const logits = 2 * hiddenSize * shape.vocabularySize
      return (
        logits +
        2 * weights +
        sum(
          (n) => n * heads * (2 * headDim * context + 2 * headDim * context),
          () => 0,
        )
      )
    }
    case 'latency':
      return (
        latencies.fixedSeconds +
        sum(
          (n) => time(latencies.attention, n),
          (n) => time(latencies.ffn, n),
        )
      )
  }
}
