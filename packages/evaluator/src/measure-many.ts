import type { Evaluator, MeasureManyRequest, Measurement } from './evaluator.js'
import { comparePolicies, countSharedModules } from './shared-modules.js'

/** Measures policies in the order of their prefixes: what neighbours have in common is computed once. */
export async function measureMany(
  measure: Evaluator['measure'],
  { policies, onProgress, ...request }: MeasureManyRequest,
): Promise<Measurement[]> {
  const order = policies.map((_, index) => index)
  const policyOf = (index: number) => policies[index] ?? []
  order.sort((a, b) => comparePolicies(policyOf(a), policyOf(b)) || a - b)
  const measured: Measurement[] = []
  for (const [position, index] of order.entries()) {
    const keptIndices = policyOf(index)
    const later = order.slice(position + 1)
    measured[index] = await measure({
      ...request,
      keptIndices,
      sharedModules: later.map((other) => countSharedModules(keptIndices, policyOf(other))),
      onProgress: (windowsDone) => onProgress?.(position * request.windows + windowsDone),
    })
  }
  return measured
}
