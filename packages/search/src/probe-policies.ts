import type { KeptUnits } from '@espalier/contracts'
import type { AllowedPolicies, PrunableModel, PruningModule } from '@espalier/pruning'

const none: ReadonlySet<number> = new Set()

/** Modules that a probe can prune, of each kind: all, or those that constraints leave something to remove of. */
export function probedModules(model: PrunableModel, allowed: AllowedPolicies | null): PruningModule[] {
  return model.modules.filter((module) => probedUnits(module, allowed) < module.units)
}

/**
 * One policy a block of `probeLayers` neighbouring layers and kind, that block at half its units, or as near to it as
 * constraints allow. Probes keep no limit of a resource: they tell what a module is worth, and nobody gets them.
 *
 * @param known modules that need no probe
 */
export function probePolicies(
  model: PrunableModel,
  probeLayers: number,
  allowed: AllowedPolicies | null,
  known = none,
): KeptUnits[] {
  if (probeLayers === 0) return []
  const layers = model.modules.length / 2
  const policies: KeptUnits[] = []
  for (let first = 0; first < layers; first += probeLayers) {
    for (const kind of ['attention', 'ffn'] as const) {
      const isProbed = (module: PruningModule) =>
        module.kind === kind && module.layer >= first && module.layer < first + probeLayers && !known.has(module.index)
      if (!probedModules(model, allowed).some(isProbed)) continue
      policies.push(
        model.modules.map((module) => (isProbed(module) ? probedUnits(module, allowed) : most(module, allowed))),
      )
    }
  }
  return policies
}

function most({ index, units }: PruningModule, allowed: AllowedPolicies | null): number {
  return allowed?.domains[index]?.highest ?? units
}

function probedUnits(module: PruningModule, allowed: AllowedPolicies | null): number {
  const half = Math.floor(module.units / 2)
  const domain = allowed?.domains[module.index]
  if (!domain) return half
  const multiple = Math.round(half / domain.multiple) * domain.multiple
  return Math.min(domain.highest, Math.max(domain.lowest, multiple))
}
