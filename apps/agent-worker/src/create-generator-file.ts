import { type GeneratorFile, methodOf } from '@espalier/contracts'
import type { Proposal } from '@espalier/policy-agent'
import type { Lease } from '@espalier/store'

/** The generator of a round with the predictor it was trained against; null for the agents without a network. */
export function createGeneratorFile(
  lease: Lease<'propose'>,
  predictor: unknown,
  { front }: Proposal,
): GeneratorFile | null {
  if (front === null) return null
  const { round, model } = lease
  const { metric, compensation } = methodOf(lease)
  const { windowLength } = lease.settings
  return {
    format: 'espalier-generator/1',
    ...{ round, shape: model.shape, modelHash: model.hash, metric, compensation, windowLength, predictor },
    front: {
      ...front,
      range: [...front.range],
      network: { ...front.network, weights: front.network.weights.map((values) => [...values]) },
      policies: front.policies.map((kept) => [...kept]),
    },
  }
}
