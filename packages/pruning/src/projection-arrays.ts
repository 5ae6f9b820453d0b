import type { PrunableModel, PruningModule } from './prunable-model.js'
import { minimumUnitsOf } from './sparsity-budget.js'

/** Modules of one kind, all of the same size. */
export interface ModulesOfKind {
  readonly indices: Int32Array
  readonly unitParameters: number
  /** Of all together: units, and those that may go. */
  readonly units: number
  readonly removableUnits: number
}

/**
 * A model as projections read it, by module index, and what they write. Search projects hundreds of thousands of times:
 * the arrays are made once a model, and every projection writes to the same ones.
 */
export interface ProjectionArrays {
  readonly all: Int32Array
  readonly attention: ModulesOfKind
  readonly ffn: ModulesOfKind
  readonly units: Float64Array
  readonly minimum: Float64Array
  /** Least share of the units that is kept. */
  readonly lowestShares: Float64Array
  readonly unitParameters: Float64Array
  /** Parameters of all units. */
  readonly parameters: Float64Array
  /** Kept shares that are wanted. */
  readonly shares: Float64Array
  readonly kept: Float64Array
  /** How far a real number of units is above the kept one, where units are to be added; below, where they are to go. */
  readonly gaps: Float64Array
  readonly order: Int32Array
}

const known = new WeakMap<PrunableModel, ProjectionArrays>()

export function projectionArraysOf(model: PrunableModel): ProjectionArrays {
  const arrays = known.get(model) ?? createProjectionArrays(model)
  known.set(model, arrays)
  return arrays
}

function createProjectionArrays({ modules }: PrunableModel): ProjectionArrays {
  const numbers = (of: (module: PruningModule) => number) => Float64Array.from(modules, of)
  return {
    all: Int32Array.from(modules, ({ index }) => index),
    attention: modulesOfKind(modules.filter(({ kind }) => kind === 'attention')),
    ffn: modulesOfKind(modules.filter(({ kind }) => kind === 'ffn')),
    units: numbers(({ units }) => units),
    minimum: numbers(minimumUnitsOf),
    lowestShares: numbers((module) => minimumUnitsOf(module) / module.units),
    unitParameters: numbers(({ parametersPerUnit }) => parametersPerUnit),
    parameters: numbers(({ units, parametersPerUnit }) => units * parametersPerUnit),
    shares: new Float64Array(modules.length),
    kept: new Float64Array(modules.length),
    gaps: new Float64Array(modules.length),
    order: new Int32Array(modules.length),
  }
}

function modulesOfKind(modules: readonly PruningModule[]): ModulesOfKind {
  return {
    indices: Int32Array.from(modules, ({ index }) => index),
    unitParameters: modules[0]?.parametersPerUnit ?? 1,
    units: modules.reduce((sum, { units }) => sum + units, 0),
    removableUnits: modules.reduce((sum, module) => sum + module.units - minimumUnitsOf(module), 0),
  }
}
