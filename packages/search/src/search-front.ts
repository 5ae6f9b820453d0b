import {
  type FrontPoint,
  isSameMethod,
  methodOf,
  type Resource,
  type SearchFront,
  type SearchRecord,
} from '@espalier/contracts'
import { costOf, createResourceCost } from '@espalier/pruning'
import { type Measurement, policyKey } from './measurement.js'
import { type SearchView, viewRecord } from './search-view.js'
import { inOrder } from './step-ledger.js'

/**
 * The Pareto fronts of what a search has measured so far or started from: perplexity against size, and against time
 * where latencies were measured. Only evaluations on all windows of the search on the validation split count: fidelities are never mixed.
 */
export function searchFront(record: SearchRecord): SearchFront {
  const { settings, shape } = record
  const view = viewRecord(record)
  const measured = new Map<string, Measurement>()
  for (const measurement of [...view.additional, ...ownMeasurements(record, view)]) {
    const { split, windows, keptUnits } = measurement.payload
    if (split === 'validation' && windows === settings.validationWindows)
      measured.set(policyKey(keptUnits), measurement)
  }
  const latencies = settings.constraints?.latencies ?? view.findResult('prepare', 0)?.latencies
  const create = (resource: Resource) =>
    createResourceCost(resource, shape, view.model, { contextLength: settings.constraints?.contextLength, latencies })
  const costs = {
    parameters: create('parameters'),
    weightBytes: create('weight-bytes'),
    flopsPerToken: create('flops'),
    kvBytesPerToken: create('kv-bytes'),
  }
  const time = latencies ? create('latency') : null
  const points = [...measured.values()].map(({ payload, result }): FrontPoint => {
    const { keptUnits, purpose, targetIndex, sparsity } = payload
    return {
      ...{ keptUnits: [...keptUnits], purpose, targetIndex, sparsity },
      parameters: costOf(costs.parameters, keptUnits),
      weightBytes: costOf(costs.weightBytes, keptUnits),
      flopsPerToken: costOf(costs.flopsPerToken, keptUnits),
      kvBytesPerToken: costOf(costs.kvBytesPerToken, keptUnits),
      secondsPerToken: time && costOf(time, keptUnits),
      ...{ perplexity: result.perplexity, logPerplexity: result.logPerplexity },
    }
  })
  return {
    windows: settings.validationWindows,
    policies: points.length,
    size: paretoFront(points, ({ parameters }) => parameters),
    speed: time && paretoFront(points, ({ secondsPerToken }) => secondsPerToken ?? 0),
  }
}

/** What the search has measured under its method, in the order of planning. */
function ownMeasurements({ steps, settings }: SearchRecord, { chosen }: SearchView): Measurement[] {
  return inOrder(steps)
    .filter((step) => step.kind === 'evaluate')
    .flatMap(({ state, payload, result }) => (state === 'DONE' && result ? [{ payload, result }] : []))
    .filter(({ payload }) => chosen !== null && isSameMethod(methodOf({ payload, settings }), chosen))
}

/** The points that no other beats in cost or perplexity without losing in the other; of equal ones the first. */
function paretoFront(points: readonly FrontPoint[], cost: (point: FrontPoint) => number): FrontPoint[] {
  const front: FrontPoint[] = []
  const cheapest = points.toSorted((a, b) => cost(a) - cost(b) || a.logPerplexity - b.logPerplexity)
  for (const point of cheapest) {
    if (point.logPerplexity < (front.at(-1)?.logPerplexity ?? Number.POSITIVE_INFINITY)) front.push(point)
  }
  return front
}
