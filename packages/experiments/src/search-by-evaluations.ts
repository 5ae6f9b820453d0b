import type { KeptUnits, PruningMethod } from '@espalier/contracts'
import { createPolicySpace, mutate } from '@espalier/policy-agent'
import { createRandomGenerator, type RandomGenerator, randomPolicy, uniformPolicy } from '@espalier/pruning'
import type { LabCalibration, Laboratory } from './laboratory.js'

/** Searches without any predictor: every policy that is judged is measured. */
export type EvaluatingSearch = 'random' | 'evolution'

export interface JudgedPolicy {
  readonly kept: KeptUnits
  readonly logPerplexity: number
  /** Since the search began, when it was measured. */
  readonly seconds: number
}

interface EvaluatingSearchRequest {
  readonly way: EvaluatingSearch
  readonly laboratory: Laboratory
  readonly calibration: LabCalibration
  readonly method: PruningMethod
  readonly sparsity: number
  readonly windows: number
  readonly firstWindow: number
  readonly seed: number
  /** It goes on until both are spent. */
  readonly evaluations: number
  readonly seconds: number
}

/** Policies measured at once. */
const BATCH = 6
/** The best so far, from which evolution goes on. */
const PARENTS = 4

/**
 * Random search: uniform, then random policies. Evolution (after EvoPress, arXiv 2410.14649): the same first batch, then
 * children of the best four by moving units from one module to another, all at the sparsity.
 * @returns every policy in the order in which it was measured
 */
export async function searchByEvaluations(request: EvaluatingSearchRequest): Promise<JudgedPolicy[]> {
  const { laboratory, calibration, method, windows, firstWindow } = request
  const random = createRandomGenerator(request.seed, 'search-by-evaluations', request.way)
  const started = laboratory.now()
  const judged: JudgedPolicy[] = []
  const elapsed = () => laboratory.now() - started
  while (judged.length < request.evaluations || elapsed() < request.seconds) {
    const policies = nextBatch(request, judged, random)
    const measured = await laboratory.measure({
      policies,
      calibration,
      method,
      split: 'validation',
      windows,
      firstWindow,
    })
    const seconds = elapsed()
    for (const [index, kept] of policies.entries()) {
      judged.push({ kept, logPerplexity: measured[index]?.logPerplexity ?? Number.NaN, seconds })
    }
  }
  return judged
}

function nextBatch(
  { way, laboratory, sparsity }: EvaluatingSearchRequest,
  judged: readonly JudgedPolicy[],
  random: RandomGenerator,
): KeptUnits[] {
  const { model } = laboratory
  const draw = () => randomPolicy(model, sparsity, random)
  if (judged.length === 0) return [uniformPolicy(model, sparsity), ...Array.from({ length: BATCH - 1 }, draw)]
  if (way === 'random') return Array.from({ length: BATCH }, draw)
  const space = createPolicySpace(model, sparsity)
  const parents = [...judged].sort((a, b) => a.logPerplexity - b.logPerplexity).slice(0, PARENTS)
  return Array.from({ length: BATCH }, () => {
    const child = [...(parents[random.integer(parents.length)]?.kept ?? [])]
    mutate(space, child, random)
    return child
  })
}

/** The best of what was measured within a number of evaluations or of seconds. */
export function bestWithin(
  judged: readonly JudgedPolicy[],
  limit: { readonly evaluations: number } | { readonly seconds: number },
): JudgedPolicy | undefined {
  const within =
    'evaluations' in limit
      ? judged.slice(0, limit.evaluations)
      : judged.filter(({ seconds }, index) => index < BATCH || seconds <= limit.seconds)
  return [...within].sort((a, b) => a.logPerplexity - b.logPerplexity)[0]
}
