import {
  hasConstraints,
  type KeptUnits,
  type LatencyTable,
  type ModelShape,
  needsLatencies,
  type PolicyConstraints,
  type SearchTarget,
} from '@espalier/contracts'
import { projectToSparsity } from '../project-to-sparsity.js'
import { createPrunableModel, type PrunableModel } from '../prunable-model.js'
import type { RandomGenerator } from '../random-generator.js'
import { drawWishes, randomPolicy } from '../random-policy.js'
import { sparsityOf } from '../sparsity.js'
import { maximumSparsityOf } from '../sparsity-budget.js'
import { uniformPolicy } from '../uniform-policy.js'
import { AllowedPolicies } from './allowed-policies.js'
import { type ConstraintRule, createLimitSource, domainsOf, ruleOfTarget, rulesOf } from './constraint-rules.js'
import { checkFulfillable } from './find-conflict.js'

/** What a search aims at, as code that gives policies. */
export interface PolicyTarget {
  /** The sparsity asked for; of another target that of its uniform policy. */
  readonly sparsity: number
  /** Null: any policy of the sparsity, by `projectToSparsity`. */
  readonly allowed: AllowedPolicies | null
  uniform(): KeptUnits
  random(random: RandomGenerator): KeptUnits
  /** The policy nearest to real wishes. */
  project(wanted: readonly number[]): KeptUnits
}

/** Which policies a search may measure. */
export interface PolicyRules {
  readonly model: PrunableModel
  readonly targets: readonly PolicyTarget[]
  /** What fulfils the constraints without any target or limit; null: there are no constraints. */
  readonly allowed: AllowedPolicies | null
  /** The same constraints with another sparsity; undefined where not every target is a sparsity. */
  readonly targetAt: ((sparsity: number) => PolicyTarget) | undefined
  /** Largest sparsity that `targetAt` takes. */
  readonly maximumSparsity: number
}

/** The settings of a search that decide which policies it may measure. */
export interface RuleSettings {
  readonly targets: readonly SearchTarget[]
  readonly constraints?: PolicyConstraints | undefined
}

/**
 * Compiles targets and constraints of a search. Sparsities without constraints mean what they always meant: at most
 * this sparsity, to less than a channel. With constraints, and with targets of other resources, policies keep as much as
 * they may: a sparsity then means that at least this share of the prunable parameters goes.
 *
 * @param latencies measured by the evaluator; a table among the constraints goes before
 * @throws EspalierError CONSTRAINTS_CONTRADICTORY, LATENCIES_INVALID, SPARSITY_UNREACHABLE (when a policy is asked for)
 */
export function createPolicyRules(shape: ModelShape, settings: RuleSettings, latencies?: LatencyTable): PolicyRules {
  const model = createPrunableModel(shape)
  const { targets } = settings
  const constraints = settings.constraints ?? {}
  const sparsities = targets.filter((target) => typeof target === 'number')
  if (sparsities.length === targets.length && !hasConstraints(settings.constraints))
    return plainPolicyRules(model, sparsities)

  const table = constraints.latencies ?? latencies
  const ffnMayGo = constraints.wholeBlockDrop === 'any'
  const createLimit = createLimitSource(shape, model, { ...constraints, latencies: table })
  const rules = rulesOf(constraints, createLimit, table !== undefined)
  const { domains } = fulfillable(rules, model, ffnMayGo)
  const targetOf = (target: SearchTarget, index: number) => {
    const own = ruleOfTarget(target, index, createLimit)
    checkFulfillable([...rules, own], model, ffnMayGo)
    const limits = [...rules, own].flatMap(({ limit }) => limit ?? [])
    return constrainedTarget(new AllowedPolicies(model, domains, limits), typeof target === 'number' ? target : null)
  }
  const smallest = domains.map(({ lowest }) => lowest)
  return {
    model,
    targets: targets.map(targetOf),
    allowed: new AllowedPolicies(model, domains, []),
    targetAt: sparsities.length < targets.length ? undefined : (sparsity) => targetOf(sparsity, 0),
    maximumSparsity: sparsityOf(model, smallest),
  }
}

/**
 * Refuses targets and constraints that no policy fulfils. What is about time can only be said once it was measured.
 * @throws EspalierError CONSTRAINTS_CONTRADICTORY, LATENCIES_INVALID
 */
export function checkPolicyRules(shape: ModelShape, settings: RuleSettings): void {
  const isKnown = settings.constraints?.latencies !== undefined || !needsLatencies(settings)
  const isTimed = (target: SearchTarget) => typeof target !== 'number' && target.resource === 'latency'
  createPolicyRules(
    shape,
    isKnown ? settings : { ...settings, targets: settings.targets.filter((target) => !isTimed(target)) },
  )
}

function fulfillable(rules: readonly ConstraintRule[], model: PrunableModel, ffnMayGo: boolean) {
  checkFulfillable(rules, model, ffnMayGo)
  return domainsOf(rules, model, ffnMayGo)
}

/** Rules of sparsities alone. */
export function plainPolicyRules(model: PrunableModel, sparsities: readonly number[]): PolicyRules {
  const targetAt = (sparsity: number): PolicyTarget => ({
    sparsity,
    allowed: null,
    uniform: once(() => uniformPolicy(model, sparsity)),
    random: (random) => randomPolicy(model, sparsity, random),
    project: (wanted) => projectToSparsity(model, wanted, sparsity),
  })
  const targets = sparsities.map(targetAt)
  return { model, targets, allowed: null, targetAt, maximumSparsity: maximumSparsityOf(model) }
}

function constrainedTarget(allowed: AllowedPolicies, wanted: number | null): PolicyTarget {
  const { model } = allowed
  const uniform = once(() => allowed.uniform())
  const sparsity = wanted ?? sparsityOf(model, uniform())
  return {
    sparsity,
    allowed,
    uniform,
    random: (random) => allowed.project(drawWishes(model, sparsity, random)),
    project: (policy) => allowed.project(policy),
  }
}

function once<T>(create: () => T): () => T {
  let value: T | undefined
  return () => {
    value ??= create()
    return value
  }
}
