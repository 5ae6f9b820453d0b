import {
  EspalierError,
  type ModelShape,
  nameOfTarget,
  type RequestError,
  type SearchSettings,
  type SearchTarget,
} from '@espalier/contracts'
import { checkElimination, checkPolicyRules, createPrunableModel, maximumSparsityOf } from '@espalier/pruning'
import { minimumBudget } from '@espalier/search'
import { RequestRejected } from '../../problems/request-rejected.js'

/**
 * Refuses a search that cannot succeed for this model, before it costs anything.
 *
 * @throws REQUEST_INVALID with the field, MODEL_WINDOW_TOO_LONG, SPARSITY_UNREACHABLE, CONSTRAINTS_CONTRADICTORY,
 *   LATENCIES_INVALID, CALIBRATION_TOO_LARGE
 */
export function checkSearch(settings: SearchSettings, shape: ModelShape): void {
  const errors = [...budgetErrors(settings), ...repeatedTargets(settings), ...layerErrors(settings, shape)]
  if (errors.length > 0) throw new RequestRejected(errors)
  checkWindow(settings.windowLength, shape)
  if (settings.constraints?.wholeBlockDrop !== 'any') checkSparsities(settings.targets, shape)
  if (settings.metric === 'obs') checkElimination(shape)
  checkPolicyRules(shape, settings)
}

function budgetErrors({ budget, targets }: SearchSettings): RequestError[] {
  const least = minimumBudget(targets.length)
  if (budget >= least) return []
  const message = `must be at least ${least}: the dense model and uniform pruning at each of ${targets.length} targets`
  return [{ in: 'body', path: '/budget', message, value: budget }]
}

function repeatedTargets({ targets }: SearchSettings): RequestError[] {
  return targets.flatMap((target, index) =>
    targets.findIndex((other) => nameOfTarget(other) === nameOfTarget(target)) === index
      ? []
      : [{ in: 'body' as const, path: `/targets/${index}`, message: 'stands there twice', value: target }],
  )
}

/** Layers that constraints name and the model does not have. */
function layerErrors({ constraints }: SearchSettings, { layers }: ModelShape): RequestError[] {
  const { freezeLayers = [], bounds = [] } = constraints ?? {}
  const named = [
    ...freezeLayers.map((value, index) => ({ value, path: `/constraints/freezeLayers/${index}` })),
    ...bounds.flatMap((bound, index) =>
      (bound.layers ?? []).map((value, i) => ({ value, path: `/constraints/bounds/${index}/layers/${i}` })),
    ),
  ]
  const message = `must be a layer of the model, 0 to ${layers - 1}`
  return named.filter(({ value }) => value >= layers).map((error) => ({ in: 'body', message, ...error }))
}

function checkWindow(windowLength: number, shape: ModelShape): void {
  const allowed = shape.maxPositions
  if (windowLength <= allowed) return
  throw new EspalierError(
    'MODEL_WINDOW_TOO_LONG',
    `A window of ${windowLength} tokens is longer than the model's number of positions of ${allowed}; allowed is 2 to ${allowed}`,
    { windowLength, allowed: [2, allowed] },
  )
}

function checkSparsities(targets: readonly SearchTarget[], shape: ModelShape): void {
  const largest = maximumSparsityOf(createPrunableModel(shape))
  const tooLarge = targets.find((target) => typeof target === 'number' && target > largest)
  if (tooLarge === undefined) return
  throw new EspalierError(
    'SPARSITY_UNREACHABLE',
    `Sparsity ${tooLarge} cannot be reached with this model, whose layers keep at least one feed-forward channel; allowed is at most ${largest}`,
    { value: tooLarge, index: targets.indexOf(tooLarge), allowed: [0, largest] },
  )
}
