import {
  findQuantity,
  type ModelShape,
  nameOfLimit,
  nameOfTarget,
  type PolicyConstraints,
  type Resource,
  type ResourceLimit,
  type SearchTarget,
} from '@espalier/contracts'
import { nameOfModule, type PrunableModel, type PruningModule } from '../prunable-model.js'
import { remember } from '../remember.js'
import { denseUnits } from '../sparsity.js'
import { type CostSettings, costOf, createResourceCost, type ResourceCost } from './resource-cost.js'
import { createUnitDomain, type UnitDomain } from './unit-domain.js'

/** A cost that a policy must not exceed. */
export interface CostLimit {
  readonly cost: ResourceCost
  readonly most: number
}

/** Sums of costs and limits are compared to a billionth, so that rounding decides nothing. */
export function exceeds(total: number, limit: CostLimit): boolean {
  return total > mostWithin(limit)
}

/** The largest total that does not exceed a limit. */
export function mostWithin({ most }: CostLimit): number {
  return most * (1 + 1e-9)
}

/** One constraint of a user, as messages name it, and what it means. */
export interface ConstraintRule {
  readonly name: string
  /** JSON pointer into the settings. */
  readonly path: string
  readonly limit?: CostLimit
  readonly appliesTo?: (module: PruningModule) => boolean
  readonly minimum?: (module: PruningModule) => number
  readonly maximum?: number
  readonly multiple?: number
}

/** Compiles limits of resources; the costs of each resource are computed once. */
export type LimitSource = (limit: ResourceLimit) => CostLimit

export function createLimitSource(shape: ModelShape, model: PrunableModel, settings: CostSettings): LimitSource {
  const costFor = remember((resource: Resource) => createResourceCost(resource, shape, model, settings))
  return ({ resource, atMost, ratio }) => {
    const cost = costFor(resource)
    const amount = atMost === undefined ? undefined : findQuantity(resource, atMost)
    return { cost, most: amount ?? (ratio ?? 1) * costOf(cost, denseUnits(model)) }
  }
}

/**
 * The constraints besides targets, each by itself: a list of layers is one rule a layer.
 * @param areTimesKnown limits of latency are left out while they are not
 */
export function rulesOf(
  constraints: PolicyConstraints,
  createLimit: LimitSource,
  areTimesKnown: boolean,
): ConstraintRule[] {
  const {
    freezeLayers = [],
    only,
    bounds = [],
    channelMultiple,
    groupMultiple,
    wholeBlockDrop,
    limits = [],
  } = constraints
  const all = (module: PruningModule) => module.units
  const rules: ConstraintRule[] = freezeLayers.map((layer, index) => ({
    ...{ name: `layer ${layer} is frozen`, path: `/constraints/freezeLayers/${index}`, minimum: all },
    appliesTo: (module) => module.layer === layer,
  }))
  if (only) {
    const appliesTo = (module: PruningModule) => module.kind !== only
    rules.push({ name: `only ${only} is pruned`, path: '/constraints/only', minimum: all, appliesTo })
  }
  bounds.forEach(({ module: kind, layers, minimum, maximum }, index) => {
    const appliesTo = (module: PruningModule) =>
      module.kind === kind && (layers === undefined || layers.includes(module.layer))
    const where = `${kind} of ${layers === undefined ? 'every layer' : `layers ${layers.join(', ')}`}`
    const pathOf = (end: string) => `/constraints/bounds/${index}/${end}`
    if (minimum !== undefined) {
      rules.push({
        name: `${where} keeps at least ${minimum}`,
        path: pathOf('minimum'),
        appliesTo,
        minimum: () => minimum,
      })
    }
    if (maximum !== undefined)
      rules.push({ name: `${where} keeps at most ${maximum}`, path: pathOf('maximum'), appliesTo, maximum })
  })
  const multiples = { ffn: channelMultiple, attention: groupMultiple }
  for (const [kind, unit] of [
    ['ffn', 'channel'],
    ['attention', 'group'],
  ] as const) {
    const multiple = multiples[kind]
    if (multiple === undefined) continue
    const appliesTo = (module: PruningModule) => module.kind === kind
    rules.push({
      name: `${unit}s are kept in multiples of ${multiple}`,
      path: `/constraints/${unit}Multiple`,
      appliesTo,
      multiple,
    })
  }
  if (wholeBlockDrop === 'none') {
    rules.push({ name: 'no block is removed whole', path: '/constraints/wholeBlockDrop', minimum: () => 1 })
  }
  limits.forEach((limit, index) => {
    if (limit.resource === 'latency' && !areTimesKnown) return
    const path = `/constraints/limits/${index}`
    rules.push({ name: nameOfLimit(limit), path, limit: createLimit(limit) })
  })
  return rules
}

/** A target as a rule: a sparsity is a limit of the prunable parameters. */
export function ruleOfTarget(target: SearchTarget, index: number, createLimit: LimitSource): ConstraintRule {
  const limit: ResourceLimit =
    typeof target === 'number' ? { resource: 'prunable-parameters', ratio: 1 - target } : target
  const name = `target ${typeof target === 'number' ? `sparsity ${nameOfTarget(target)}` : nameOfTarget(target)}`
  return { name, path: `/targets/${index}`, limit: createLimit(limit) }
}

/** Numbers of units that each module may keep, or the modules for which there is none. */
export function domainsOf(
  rules: readonly ConstraintRule[],
  model: PrunableModel,
  ffnMayGo: boolean,
): { readonly domains: readonly UnitDomain[]; readonly empty: readonly string[] } {
  const domains: UnitDomain[] = []
  const empty: string[] = []
  for (const module of model.modules) {
    const own = rules.filter(({ appliesTo }) => appliesTo?.(module) ?? true)
    const least = module.kind === 'ffn' && !ffnMayGo ? Math.min(1, module.units) : 0
    const domain = createUnitDomain(module.units, {
      minimum: Math.max(least, ...own.map(({ minimum }) => minimum?.(module) ?? 0)),
      maximum: Math.min(module.units, ...own.map(({ maximum }) => maximum ?? module.units)),
      multiple: Math.max(1, ...own.map(({ multiple }) => multiple ?? 1)),
    })
    if (domain) domains.push(domain)
    else empty.push(nameOfModule(module))
  }
  return { domains, empty }
}
