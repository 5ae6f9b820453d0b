import { EspalierError, type KeptUnits, type LatencyTable, type ModelShape, type Resource } from '@espalier/contracts'
import type { PrunableModel, PruningModule } from '../prunable-model.js'

/**
 * What a resource costs: `fixed + sum over modules of cost(kept units)`. Blocks of one kind cost the same in every
 * layer, and no cost falls when a unit is added.
 */
export interface ResourceCost {
  readonly resource: Resource
  readonly fixed: number
  /** Cost of one block by units kept; length units + 1. */
  readonly attention: Float64Array
  readonly ffn: Float64Array
  /** Cost of a unit where that is always the same: far faster than a look at a long table. */
  readonly perUnit?: { readonly attention: number; readonly ffn: number }
}

/** For which context FLOPs are counted where nothing is said. */
const usualContextLength = 2048

export interface CostSettings {
  readonly contextLength?: number | undefined
  /** Only for `latency`. */
  readonly latencies?: LatencyTable | undefined
}

/**
 * The costs of a resource, with p the prunable parameters of a unit, rep the query heads of a KV group, d the size of a
 * head, h the hidden size, v the vocabulary and C the tokens in the context:
 *
 *   parameters    p a unit, and all that is not prunable. Biases of removed units still count: under 0.1 %
 *   weight-bytes  the same in the precision stored
 *   flops         a token: 2 p a unit, 4 rep d C a group (scores and values of a full attention), 2 h v for the logits
 *   kv-bytes      a token: 2 d a group in the precision stored
 *   latency       seconds a token by the measured table, between its entries interpolated, never falling
 *
 * @throws EspalierError LATENCIES_INVALID for a table that is not from 0 to all units of this model
 */
export function createResourceCost(
  resource: Resource,
  shape: ModelShape,
  model: PrunableModel,
  { contextLength, latencies }: CostSettings = {},
): ResourceCost {
  const [attention, ffn] = model.modules as readonly [PruningModule, PruningModule]
  const linear = (fixed: number, ofGroup: number, ofChannel: number): ResourceCost => ({
    resource,
    fixed,
    attention: Float64Array.from({ length: attention.units + 1 }, (_, kept) => kept * ofGroup),
    ffn: Float64Array.from({ length: ffn.units + 1 }, (_, kept) => kept * ofChannel),
    perUnit: { attention: ofGroup, ffn: ofChannel },
  })
  const [group, channel] = [attention.parametersPerUnit, ffn.parametersPerUnit]
  const rest = shape.parameters - model.prunableParameters
  const bytes = shape.weightBytes / shape.parameters
  switch (resource) {
    case 'prunable-parameters':
      return linear(0, group, channel)
    case 'parameters':
      return linear(rest, group, channel)
    case 'weight-bytes':
      return linear(rest * bytes, group * bytes, channel * bytes)
    case 'kv-bytes':
      return linear(0, 2 * shape.headDim * Math.round(bytes), 0)
    case 'flops': {
      const context = contextLengthOf(shape, contextLength)
      const scores = 4 * (shape.queryHeads / shape.kvHeads) * shape.headDim * context
      return linear(2 * shape.hiddenSize * shape.vocabularySize, 2 * group + scores, 2 * channel)
    }
    case 'latency': {
      if (!latencies) throw new EspalierError('INTERNAL', 'Latencies are wanted before they have been measured')
      return {
        resource,
        fixed: latencies.fixedSeconds,
        attention: interpolate(latencies.attention, attention),
        ffn: interpolate(latencies.ffn, ffn),
      }
    }
  }
}

/** Tokens in the context for which FLOPs and latency count. */
export function contextLengthOf({ maxPositions }: ModelShape, wanted?: number): number {
  return wanted ?? Math.min(usualContextLength, maxPositions)
}

/** What a policy uses up of the resource. */
export function costOf({ fixed, attention, ffn }: ResourceCost, kept: KeptUnits): number {
  return kept.reduce((sum, units, module) => sum + ((module % 2 === 0 ? attention : ffn)[units] ?? 0), fixed)
}

/** Times by units kept. A measured time may be below that of fewer units by chance: the higher one stands. */
function interpolate(points: LatencyTable['ffn'], { units, kind }: PruningModule): Float64Array {
  const ascending = points.every(({ kept }, index) => index === 0 || kept > (points[index - 1]?.kept ?? 0))
  if (!ascending || points[0]?.kept !== 0 || points.at(-1)?.kept !== units) {
    const found = points.map(({ kept }) => kept).join(', ')
    throw new EspalierError(
      'LATENCIES_INVALID',
      `The table of latencies has ${kind} times for ${found} units; this model needs ascending numbers from 0 to ${units}`,
      { kind, found: points.map(({ kept }) => kept), units },
    )
  }
  const seconds = new Float64Array(units + 1)
  let high = 1
  for (let kept = 0; kept <= units; kept++) {
    while ((points[high]?.kept ?? units) < kept) high++
    const [from, to] = [points[high - 1], points[high]]
    if (!from || !to) break
    const time = from.seconds + ((to.seconds - from.seconds) * (kept - from.kept)) / (to.kept - from.kept)
    seconds[kept] = Math.max(time, seconds[kept - 1] ?? 0)
  }
  return seconds
}
