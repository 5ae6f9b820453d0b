import {
  type EvaluatorCapacity,
  evaluatorCapacitySchema,
  evaluatorKindOf,
  type MemoryNeeds,
  type Precision,
  type SearchOutline,
  type StepRecord,
} from '@espalier/contracts'
import { leastMemoryOf } from '@espalier/cost-model'
import type { WorkerRow } from '@espalier/store'

/** An evaluator that is there. */
export interface LiveEvaluator extends EvaluatorCapacity {
  readonly node: string
}

/** What an evaluator must have to take a search's steps. */
export class EvaluatorNeeds {
  readonly memory: MemoryNeeds
  /** null: the search is not prepared yet, and any will do. */
  precision: Precision | null = null

  constructor({ settings, shape }: SearchOutline) {
    this.memory = leastMemoryOf(shape, settings.windowLength)
  }

  add(step: StepRecord): void {
    if (step.kind === 'prepare' && step.result) this.precision = step.result.precision ?? 'fp32'
  }
}

/** Evaluators whose heartbeat is fresh and who say what they compute with. */
export function liveEvaluatorsOf(workers: readonly WorkerRow[]): LiveEvaluator[] {
  return workers.flatMap(({ alive, role, node, details }) => {
    const capacity = alive && role === 'evaluator' ? evaluatorCapacitySchema.safeParse(details) : null
    return capacity?.success ? [{ node, ...capacity.data }] : []
  })
}

/** Why none of these evaluators can ever do a search's steps, with the numbers; null: one can, or none is there. */
export function describeMisfit(
  needs: Pick<EvaluatorNeeds, 'memory' | 'precision'>,
  evaluators: readonly LiveEvaluator[],
): string | null {
  const neededBy = (evaluator: LiveEvaluator) => needs.memory[evaluatorKindOf(evaluator)]
  const fits = (evaluator: LiveEvaluator) =>
    evaluator.memoryBytes === null || neededBy(evaluator) <= evaluator.memoryBytes
  const computes = ({ precisions }: LiveEvaluator) => needs.precision === null || precisions.includes(needs.precision)
  if (evaluators.length === 0 || evaluators.some((evaluator) => fits(evaluator) && computes(evaluator))) return null
  const fitting = evaluators.filter(fits)
  if (fitting.length > 0) return `no evaluator with the memory computes in ${needs.precision}, in which it was prepared`
  const described = evaluators.map((evaluator) => {
    const { node, provider, memoryBytes } = evaluator
    return `${node} (${provider}) has ${gigabytes(memoryBytes ?? 0)} of the ${gigabytes(neededBy(evaluator))} GB needed`
  })
  return `no evaluator has the memory for this model: ${described.join(', ')}`
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1)
}
