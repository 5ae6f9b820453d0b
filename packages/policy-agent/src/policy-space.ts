import {
  type AllowedPolicies,
  minimumUnitsOf,
  type PolicyTarget,
  type PrunableModel,
  parametersToRemove,
  projectToSparsity,
  type RandomGenerator,
  remember,
} from '@espalier/pruning'

/** Kept units of every module, while they are being changed. */
export type MutableUnits = number[]

/**
 * All policies of a model at one sparsity, with the moves that stay among them.
 *
 * Channels are the smallest units and cost the same in every layer, so once the KV groups are chosen the number of
 * channels is fixed: the kept parameters lie in [needed, needed + one channel). `repair` restores just that, in a
 * fraction of a microsecond, where `projectToSparsity` of the pruning package looks for the nearest policy.
 */
export interface PolicySpace {
  readonly model: PrunableModel
  readonly sparsity: number
  /** Per module: units, least units kept, parameters of a unit. */
  readonly units: Int32Array
  readonly minimum: Int32Array
  readonly unitParameters: Float64Array
  /** Modules whose number of units may change, and the step in which it does. */
  readonly free: Int32Array
  readonly step: Int32Array
  /**
   * Brings a policy back to the sparsity, in place: channels take the difference, KV groups where they cannot.
   * @param first modules before it stay as they are; left out: none do
   * @returns whether that could be done without them
   */
  repair(kept: MutableUnits, random: RandomGenerator, first?: number): boolean
  /** The policy of real wishes, by the projection of the pruning package. */
  project(wanted: readonly number[]): MutableUnits
  /** The policy of one logit a module: shares sigmoid(logit + log((1 - sparsity) / sparsity)), then projected. */
  fromLogits(logits: ArrayLike<number>): MutableUnits
  /** Share of the prunable parameters that exactly one of two policies keeps. */
  distance(a: readonly number[], b: readonly number[]): number
}

/** The policies of a target: those of its sparsity, or those that its constraints allow. */
export function createTargetSpace({ sparsity, allowed }: PolicyTarget, model: PrunableModel): PolicySpace {
  return allowed ? createConstrainedSpace(allowed, sparsity) : createPolicySpace(model, sparsity)
}

function createConstrainedSpace(allowed: AllowedPolicies, sparsity: number): PolicySpace {
  const { model, domains } = allowed
  const movable = model.modules.filter(({ index }) => domains[index]?.lowest !== domains[index]?.highest)
  return {
    model,
    sparsity,
    units: Int32Array.from(domains, ({ highest }) => highest),
    minimum: Int32Array.from(domains, ({ lowest }) => lowest),
    unitParameters: Float64Array.from(model.modules, ({ parametersPerUnit }) => parametersPerUnit),
    free: Int32Array.from(movable, ({ index }) => index),
    step: Int32Array.from(domains, ({ multiple }) => multiple),
    repair: (kept, random, first) => allowed.repair(kept, random, first),
    project: (wanted) => allowed.project(wanted),
    fromLogits: (logits) => allowed.project(wishesOf(logits, model, sparsity)),
    distance: (a, b) => distanceOf(model, a, b),
  }
}

/** A sparsity of 0 or 1 has no logit. */
const EXTREME_SPARSITY = 1e-6

/** Kept shares sigmoid(logit + log((1 - sparsity) / sparsity)), in units. */
function wishesOf(logits: ArrayLike<number>, model: PrunableModel, sparsity: number): number[] {
  const inner = Math.min(1 - EXTREME_SPARSITY, Math.max(EXTREME_SPARSITY, sparsity))
  const even = Math.log((1 - inner) / inner)
  return model.modules.map((module) => module.units / (1 + Math.exp(-at(logits, module.index) - even)))
}

/** Share of the prunable parameters that exactly one of two policies keeps. */
function distanceOf(
  { modules, prunableParameters }: PrunableModel,
  a: readonly number[],
  b: readonly number[],
): number {
  let parameters = 0
  for (const { index, parametersPerUnit } of modules)
    parameters += Math.abs((a[index] as number) - (b[index] as number)) * parametersPerUnit
  return parameters / prunableParameters
}

/** A change up to this share of a feed-forward block goes to one layer; a larger one is spread over all. */
const LOCAL_SHARE = 1 / 16

export function createPolicySpace(model: PrunableModel, sparsity: number): PolicySpace {
  const units = Int32Array.from(model.modules, (module) => module.units)
  const minimum = Int32Array.from(model.modules, minimumUnitsOf)
  const unitParameters = Float64Array.from(model.modules, (module) => module.parametersPerUnit)
  const groups = model.modules.filter(({ kind }) => kind === 'attention').map(({ index }) => index)
  const channels = model.modules.filter(({ kind }) => kind === 'ffn').map(({ index }) => index)
  const channelParameters = at(unitParameters, channels[0] ?? 0)
  const localChannels = Math.max(1, Math.floor(at(units, channels[0] ?? 0) * LOCAL_SHARE))
  const needed = model.prunableParameters - parametersToRemove(model, sparsity)

  const room = (kept: readonly number[], m: number, direction: number) =>
    direction > 0 ? (units[m] as number) - (kept[m] as number) : (kept[m] as number) - (minimum[m] as number)

  /** Channels to add (positive) or to remove (negative) for the sparsity. */
  function missingChannels(kept: readonly number[]): number {
    let surplus = -needed
    for (let m = 0; m < units.length; m++) surplus += (kept[m] as number) * (unitParameters[m] as number)
    return surplus < 0 ? Math.ceil(-surplus / channelParameters) : -Math.floor(surplus / channelParameters)
  }

  /** Adds or removes channels of these modules from a random one on; returns how many found no room. */
  function shiftChannels(kept: MutableUnits, among: readonly number[], count: number, random: RandomGenerator): number {
    const direction = Math.sign(count)
    let left = Math.abs(count)
    const chunk = left <= localChannels ? left : Math.ceil(left / among.length)
    let next = random.integer(among.length)
    for (let full = 0; left > 0 && full < among.length; next = (next + 1) % among.length) {
      const m = among[next] as number
      const moved = Math.min(chunk, left, room(kept, m, direction))
      kept[m] = (kept[m] as number) + direction * moved
      left -= moved
      full = moved > 0 ? 0 : full + 1
    }
    return left
  }

  function shiftGroup(
    kept: MutableUnits,
    among: readonly number[],
    direction: number,
    random: RandomGenerator,
  ): boolean {
    const first = random.integer(among.length)
    for (let step = 0; step < among.length; step++) {
      const m = among[(first + step) % among.length] as number
      if (room(kept, m, direction) === 0) continue
      kept[m] = (kept[m] as number) + direction
      return true
    }
    return false
  }

  /** The modules from one on; asked again and again for the same few. */
  const movable = remember((first: number) => ({
    groups: groups.filter((m) => m >= first),
    channels: channels.filter((m) => m >= first),
  }))

  return {
    model,
    sparsity,
    units,
    minimum,
    unitParameters,
    free: Int32Array.from(units.keys()),
    step: new Int32Array(units.length).fill(1),
    repair(kept, random, first = 0) {
      const among = movable(first)
      let groupAdded = false
      for (let missing = missingChannels(kept); missing !== 0; missing = missingChannels(kept)) {
        if (shiftChannels(kept, among.channels, missing, random) === 0) return true
        // A group that outweighs all channels cannot be balanced by them: rather too many parameters than too few.
        if (missing < 0 && groupAdded) return first === 0
        if (!shiftGroup(kept, among.groups, Math.sign(missing), random)) return false
        groupAdded ||= missing > 0
      }
      return true
    },
    project: (wanted) => [...projectToSparsity(model, wanted, sparsity)],
    fromLogits: (logits) => [...projectToSparsity(model, wishesOf(logits, model, sparsity), sparsity)],
    distance: (a, b) => distanceOf(model, a, b),
  }
}

/**
 * Element of an array whose length the caller knows. The innermost loops read elements by themselves: a function that
 * sees arrays of every kind is several times slower.
 */
export function at(array: ArrayLike<number>, index: number): number {
  return array[index] as number
}
