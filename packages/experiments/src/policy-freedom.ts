import type { KeptUnits, PolicyConstraints } from '@espalier/contracts'
import {
  createPolicyRules,
  createRandomGenerator,
  type PolicyRules,
  type PrunableModel,
  plainPolicyRules,
  sparsityOf,
} from '@espalier/pruning'
import type { Laboratory } from './laboratory.js'
import { tieModules } from './tie-modules.js'

/** A set of policies that the agent may choose from. */
export interface Freedom {
  readonly name: string
  /** Counts that may differ from each other. */
  readonly counts: number
  readonly model: PrunableModel
  readonly rules: PolicyRules
  /** The policy of the whole model. */
  readonly expand: (kept: KeptUnits) => KeptUnits
  /** Besides the sparsity: the first layer stays whole, no block goes, and channels come in multiples. */
  readonly constraints?: { readonly channelMultiple: number }
}

/** From two counts to one a block, and that under constraints. */
export function createFreedoms(
  { model, shape }: Pick<Laboratory, 'model' | 'shape'>,
  targets: readonly number[],
  channelMultiple: number,
): Freedom[] {
  const simplified = [model.layers, 2]
    .filter((layers, index) => index === 0 || (model.layers % layers === 0 && model.layers > layers))
    .map((layers) => {
      const tied = tieModules(model, layers)
      const name = layers === model.layers ? 'simplified, a count a kind' : 'simplified, pairs alike'
      return { name, model: tied.model, expand: tied.expand, rules: plainPolicyRules(tied.model, targets) }
    })
  const constraints: PolicyConstraints = { freezeLayers: [0], wholeBlockDrop: 'none', channelMultiple }
  const all: Omit<Freedom, 'counts'>[] = [
    ...simplified,
    { name: 'full', model, expand: same, rules: plainPolicyRules(model, targets) },
    {
      name: 'full, constrained',
      ...{ model, expand: same },
      rules: createPolicyRules(shape, { targets: [...targets], constraints }),
      constraints: { channelMultiple },
    },
  ]
  return all.map((freedom) => ({ ...freedom, counts: freedom.model.modules.length }))
}

const same = (kept: KeptUnits) => kept

export function drawRandoms({ rules }: Freedom, count: number, seed: number): KeptUnits[][] {
  return rules.targets.map((target, index) => {
    const random = createRandomGenerator(seed, 'agent-constraints', index)
    return Array.from({ length: count }, () => target.random(random))
  })
}

/** What a random draw is worth when nothing brings it to the sparsity: any number of units of each module. */
export function drawUnprojected({ model, rules }: Freedom, count: number, seed: number): KeptUnits[][] {
  return rules.targets.map((_, index) => {
    const random = createRandomGenerator(seed, 'unprojected', index)
    return Array.from({ length: count }, () => model.modules.map(({ units }) => random.integer(units + 1)))
  })
}

/** Checked from the definition, not by the code that projects. */
export function shareValid(freedom: Freedom, policies: readonly (readonly KeptUnits[])[]): number {
  const all = policies.flatMap((ofTarget, target) => ofTarget.map((kept) => (isValid(freedom, kept, target) ? 1 : 0)))
  return all.reduce<number>((sum, valid) => sum + valid, 0) / all.length
}

function isValid({ model, rules, constraints }: Freedom, kept: KeptUnits, target: number): boolean {
  const wanted = rules.targets[target]
  const inBounds = model.modules.every(({ index, kind, units }) => {
    const count = kept[index] ?? -1
    return Number.isInteger(count) && count >= (kind === 'ffn' ? 1 : 0) && count <= units
  })
  if (!wanted || !inBounds || kept.length !== model.modules.length) return false
  if (constraints) return fulfils(model, kept, wanted.sparsity, constraints)
  const missing = (wanted.sparsity - sparsityOf(model, kept)) * model.prunableParameters
  const channel = model.modules[1]?.parametersPerUnit ?? 0
  return missing >= -0.5 && missing < channel
}

function fulfils(
  model: PrunableModel,
  kept: KeptUnits,
  sparsity: number,
  { channelMultiple }: { readonly channelMultiple: number },
): boolean {
  const isKept = model.modules.every(({ index, layer, kind, units }) => {
    const count = kept[index] ?? 0
    if (layer === 0) return count === units
    return count >= 1 && (kind === 'attention' || count === units || count % channelMultiple === 0)
  })
  return isKept && sparsityOf(model, kept) >= sparsity - 1e-9
}
