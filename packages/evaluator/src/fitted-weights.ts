import type { ImportanceMetric, ModelShape } from '@espalier/contracts'
import type { HuggingFaceModel } from '@espalier/model-graph'
import {
  createPrunableModel,
  factorLeastSquares,
  inputChannelsOf,
  type KeptIndices,
  type LeastSquaresFactor,
  type PruningModule,
  packedLength,
  rankUnits,
  type SolutionLevels,
  solveLeastSquares,
  unitImportance,
} from '@espalier/pruning'
import { roundFloats } from '@espalier/tensor-files'
import { ByteCache } from './byte-cache.js'
import type { CalibrationRecord, ModuleCalibration } from './evaluator.js'
import { usableMemoryBytes } from './gram-memory.js'

/** Share of the memory for factorisations and fitted weights. */
const cacheShare = 0.25

export interface FitRequest {
  readonly calibration: CalibrationRecord
  /** Stands for the calibration: the same record, the same key. */
  readonly calibrationKey: string
  readonly keptIndices: KeptIndices
  /** null: the kept units follow no ranking. */
  readonly metric: ImportanceMetric | null
}

/**
 * The weights of least-squares compensation, solved when a policy first needs them.
 *
 * Policies of a search keep the most important units of a ranking. One factorisation of a module in that order solves
 * for every number of kept units (see `factorLeastSquares`), and a new number is carried on from a solution kept at
 * the level below it: exact, whatever levels are at hand. Where all factorisations do not fit into the cache, and for
 * kept units that follow no ranking, each set is factored by itself.
 */
export class FittedWeights {
  readonly #model: HuggingFaceModel
  readonly #factors: ByteCache<LeastSquaresFactor>
  readonly #solutions: ByteCache<Float32Array>
  readonly #levels: ByteCache<Float64Array>
  readonly #sharesFactors: boolean

  constructor(model: HuggingFaceModel, cacheBytes: number = usableMemoryBytes() * cacheShare) {
    this.#model = model
    this.#factors = new ByteCache(cacheBytes / 2)
    this.#solutions = new ByteCache(cacheBytes / 4)
    this.#levels = new ByteCache(cacheBytes / 4)
    this.#sharesFactors = factorBytesOf(model.shape) <= cacheBytes / 2
  }

  /**
   * For every module that keeps some units and not all, [hidden, kept input channels] in the precision of the model's
   * weights, so that an exported model holds exactly what is measured.
   */
  async fit(request: FitRequest, checkAborted: () => void): Promise<ReadonlyMap<number, Float32Array>> {
    const fitted = new Map<number, Float32Array>()
    for (const module of createPrunableModel(this.#model.shape).modules) {
      const kept = request.keptIndices[module.index] ?? []
      if (kept.length === 0 || kept.length === module.units) continue
      checkAborted()
      fitted.set(module.index, await this.#fitModule(request, module, kept))
    }
    return fitted
  }

  async #fitModule(request: FitRequest, module: PruningModule, kept: readonly number[]): Promise<Float32Array> {
    const key = `${request.calibrationKey}/${module.index}/${kept.join(',')}`
    const known = this.#solutions.find(key)
    if (known !== undefined) return known
    const channels = inputChannelsOf(this.#model.shape, module, kept)
    const { factor, key: factorKey } = await this.#factorFor(request, module, kept)
    const levels = factorKey === null ? undefined : this.#levelsOf(factorKey)
    const solved = roundFloats(solveLeastSquares(factor, channels.length, levels), this.#outputOf(module).dtype)
    this.#solutions.set(key, solved, solved.byteLength)
    return solved
  }

  #levelsOf(factorKey: string): SolutionLevels {
    const key = (level: number) => `${factorKey}/${level}`
    return {
      find: (level) => this.#levels.find(key(level)),
      set: (level, solution) => this.#levels.set(key(level), solution, solution.byteLength),
    }
  }

  /** A factor that serves the kept units, and what it is called if it serves others, too. */
  async #factorFor(
    request: FitRequest,
    module: PruningModule,
    kept: readonly number[],
  ): Promise<{ readonly factor: LeastSquaresFactor; readonly key: string | null }> {
    const { metric, calibration, calibrationKey } = request
    const statistics = calibration.modules[module.index]
    if (statistics === undefined) throw new RangeError(`The calibration has no module ${module.index}`)
    const { shape } = this.#model
    const alone = async () => ({ factor: await this.#factor(statistics, module, kept), key: null })
    if (metric === null || !this.#sharesFactors) return alone()
    const { order } = rankUnits(unitImportance(metric, statistics, module))
    const isKept = new Set(kept)
    if (order.subarray(0, kept.length).some((unit) => !isKept.has(unit))) return alone()
    const key = `${calibrationKey}/${module.index}/${metric}`
    const known = this.#factors.find(key)
    if (known !== undefined) return { factor: known, key }
    const factor = await this.#factor(statistics, module, Array.from(order))
    this.#factors.set(key, factor, moduleFactorBytes(inputChannelsOf(shape, module, [0]).length * module.units, shape))
    return { factor, key }
  }

  async #factor(
    { count, sum, gram }: ModuleCalibration,
    module: PruningModule,
    units: readonly number[],
  ): Promise<LeastSquaresFactor> {
    if (gram === null) throw new RangeError(`The calibration has no Gram matrix of module ${module.index}`)
    const { shape } = this.#model
    const weight = await this.#model.readFloat32(this.#outputOf(module))
    const problem = { weight, hidden: shape.hiddenSize, count, sum, gram }
    return factorLeastSquares(problem, inputChannelsOf(shape, module, units))
  }

  #outputOf(module: PruningModule) {
    const layer = this.#model.layers[module.layer]
    if (layer === undefined) throw new RangeError(`The model has no layer ${module.layer}`)
    return module.kind === 'attention' ? layer.o : layer.down
  }
}

function factorBytesOf(shape: ModelShape): number {
  const widths = [shape.queryHeads * shape.headDim, shape.ffnChannels]
  return shape.layers * widths.reduce((sum, width) => sum + moduleFactorBytes(width, shape), 0)
}

function moduleFactorBytes(width: number, { hiddenSize }: ModelShape): number {
  return 8 * (packedLength(width) + hiddenSize * width)
}
