import type { KeptUnits, PruningMethod } from '@espalier/contracts'
import type { EvaluationSet } from '@espalier/predictor'
import { createRandomGenerator, denseUnits, type PrunableModel, randomPolicy, sparsityOf } from '@espalier/pruning'
import type { LabCalibration, Laboratory } from './laboratory.js'

type KnownPolicy = EvaluationSet['evaluations'][number]

export interface KnownPolicies {
  /** The dense model, a probe of each module, and random policies. */
  readonly evaluations: readonly KnownPolicy[]
  /** Of measuring them. */
  readonly seconds: number
}

interface KnownPoliciesRequest {
  readonly calibration: LabCalibration
  readonly method: PruningMethod
  readonly windows: number
  readonly randoms: number
  /** Sparsities of the random policies, in turn. */
  readonly sparsities: readonly number[]
  readonly seed: number
  readonly onProgress: (share: number) => void
}

/** Policies measured at once: progress shows between two of these. */
const GROUP = 8

/** Measures what a predictor learns from before there is any search. */
export async function measureKnownPolicies(
  laboratory: Laboratory,
  request: KnownPoliciesRequest,
): Promise<KnownPolicies> {
  const { calibration, method, windows, onProgress } = request
  const { model } = laboratory
  const planned = planKnownPolicies(model, request)
  const started = laboratory.now()
  const evaluations: KnownPolicy[] = []
  for (let first = 0; first < planned.length; first += GROUP) {
    const group = planned.slice(first, first + GROUP)
    const policies = group.map(({ kept }) => kept)
    const measured = await laboratory.measure({ policies, calibration, method, split: 'validation', windows })
    for (const [index, { purpose, kept }] of group.entries()) {
      const logPerplexity = measured[index]?.logPerplexity ?? Number.NaN
      evaluations.push({ purpose, kept, logPerplexity, sparsity: sparsityOf(model, kept) })
    }
    onProgress(evaluations.length / planned.length)
  }
  return { evaluations, seconds: laboratory.now() - started }
}

function planKnownPolicies(
  model: PrunableModel,
  { randoms, sparsities, seed }: Pick<KnownPoliciesRequest, 'randoms' | 'sparsities' | 'seed'>,
): { purpose: KnownPolicy['purpose']; kept: KeptUnits }[] {
  const dense = denseUnits(model)
  const probes = model.modules.map(({ index, units }) => dense.map((all, m) => (m === index ? units >> 1 : all)))
  const random = createRandomGenerator(seed, 'known-policies')
  const drawn = Array.from({ length: randoms }, (_, index) =>
    randomPolicy(model, sparsities[index % sparsities.length] ?? 0.5, random),
  )
  return [
    { purpose: 'dense', kept: dense },
    ...probes.map((kept) => ({ purpose: 'probe' as const, kept })),
    ...drawn.map((kept) => ({ purpose: 'random' as const, kept })),
  ]
}
