import type { ImportanceMetric, ModelShape } from '@espalier/contracts'
import type { HuggingFaceModel } from '@espalier/model-graph'
import {
  createPrunableModel,
  factorLeastSquares,
  factorLeastSquaresInto,
  inputChannelsOf,
  type KeptIndices,
  type LeastSquaresFactor,
  type PruningModule,
  packedLength,
  rankUnits,
  type SolutionLevels,
  type StoredLeastSquaresFactor,
  solveLeastSquares,
  solveStoredLeastSquares,
  unitImportance,
} from '@espalier/pruning'
import { roundFloats } from '@espalier/tensor-files'
import { ByteCache } from './byte-cache.js'
import type { GramSettings } from './calibrate-model.js'
import type { CalibrationRecord, ModuleCalibration } from './evaluator.js'
import { FactorFiles } from './factor-files.js'
import { outputOf, readProblem } from './read-problem.js'
import { type CallControl, checkAborted } from './run-windows.js'

/** Share of the memory for Gram matrices that factorisations and fitted weights may take once those are recorded. */
const cacheShare = 0.5

export interface FitRequest {
  readonly calibration: CalibrationRecord
  /** Stands for the calibration: the same record, the same key. */
  readonly calibrationKey: string
  readonly keptIndices: KeptIndices
  /** Modules before it need no weights. */
  readonly firstModule: number
  /** null: the kept units follow no ranking. */
  readonly metric: ImportanceMetric | null
}

/**
 * The weights of least-squares compensation, solved when a policy first needs them.
 *
 * Policies of a search keep the most important units of a ranking. One factorisation of a module in that order solves
 * for every number of kept units (see `factorLeastSquares`), and a new number is carried on from a solution kept at the
 * level below it: exact, whatever levels are at hand. Factorisations of all modules lie in memory, else in files, else
 * (and for kept units that follow no ranking) each set of units is factored by itself.
 */
export class FittedWeights {
  readonly #model: HuggingFaceModel
  readonly #memoryBytes: number
  readonly #factors: ByteCache<LeastSquaresFactor>
  readonly #storedFactors = new Map<string, StoredLeastSquaresFactor>()
  readonly #files: FactorFiles
  readonly #solutions: ByteCache<Float32Array>
  readonly #levels: ByteCache<Float64Array>
  #storedFor: string | null = null
  #seconds = 0

  constructor(model: HuggingFaceModel, { gramMemoryBytes, scratchDirectory }: GramSettings) {
    const cacheBytes = gramMemoryBytes * cacheShare
    this.#model = model
    this.#memoryBytes = cacheBytes / 2
    this.#factors = new ByteCache(this.#memoryBytes)
    this.#files = new FactorFiles(scratchDirectory)
    this.#solutions = new ByteCache(cacheBytes / 4)
    this.#levels = new ByteCache(cacheBytes / 4)
  }

  /**
   * For every module from the first wanted one that keeps some units and not all, [hidden, kept input channels] in the
   * precision of the model's weights, so that an exported model holds exactly what is measured.
   */
  async fit(request: FitRequest, control: CallControl): Promise<ReadonlyMap<number, Float32Array>> {
    const started = performance.now()
    const fitted = new Map<number, Float32Array>()
    const { modules } = createPrunableModel(this.#model.shape)
    const stopIfAborted = () => checkAborted(control)
    for (const module of modules) {
      const kept = request.keptIndices[module.index] ?? []
      if (module.index < request.firstModule || kept.length === 0 || kept.length === module.units) continue
      stopIfAborted()
      control.reportModule({ task: 'fit', done: module.index, modules: modules.length })
      fitted.set(module.index, await this.#fitModule(request, module, kept, stopIfAborted))
    }
    this.#seconds += (performance.now() - started) / 1000
    return fitted
  }

  /** Spent on fitting so far. */
  get seconds(): number {
    return this.#seconds
  }

  /** Removes the files. */
  close(): Promise<void> {
    return this.#files.close()
  }

  async #fitModule(
    request: FitRequest,
    module: PruningModule,
    kept: readonly number[],
    stopIfAborted: () => void,
  ): Promise<Float32Array> {
    const key = `${request.calibrationKey}/${module.index}/${kept.join(',')}`
    const known = this.#solutions.find(key)
    if (known !== undefined) return known
    const { length } = inputChannelsOf(this.#model.shape, module, kept)
    const order = this.#sharedOrder(request, module, kept)
    const weight =
      order === null
        ? await this.#solveAlone(request, module, kept, stopIfAborted)
        : await this.#solveShared(request, module, order, length, stopIfAborted)
    const solved = roundFloats(weight, outputOf(this.#model, module).dtype)
    this.#solutions.set(key, solved, solved.byteLength)
    return solved
  }

  /** Units as the metric ranks them, if the kept ones are the first of them; null: they are not. */
  #sharedOrder({ metric, ...request }: FitRequest, module: PruningModule, kept: readonly number[]): number[] | null {
    if (metric === null) return null
    const { order } = rankUnits(unitImportance(metric, statisticsOf(request, module), module))
    const isKept = new Set(kept)
    return order.subarray(0, kept.length).every((unit) => isKept.has(unit)) ? Array.from(order) : null
  }

  async #solveShared(
    request: FitRequest,
    module: PruningModule,
    order: readonly number[],
    length: number,
    stopIfAborted: () => void,
  ): Promise<Float32Array> {
    const key = `${request.calibrationKey}/${module.index}/${request.metric}`
    const levels: SolutionLevels = {
      find: (level) => this.#levels.find(`${key}/${level}`),
      set: (level, solution) => this.#levels.set(`${key}/${level}`, solution, solution.byteLength),
    }
    const allBytes = factorBytesOf(this.#model.shape)
    if (allBytes <= this.#memoryBytes) {
      const factor = this.#factors.find(key) ?? (await this.#factor(request, module, order))
      this.#factors.set(key, factor, factor.rows.byteLength)
      return solveLeastSquares(factor, length, levels)
    }
    if (this.#storedFor !== request.calibrationKey) {
      await this.#files.close()
      this.#storedFactors.clear()
      this.#storedFor = request.calibrationKey
    }
    const known = this.#storedFactors.get(key)
    if (known === undefined && (await this.#files.freeBytes()) < allBytes) {
      return this.#solveAlone(request, module, order.slice(0, length), stopIfAborted)
    }
    const factor = known ?? (await this.#factorIntoFile(key, request, module, order, stopIfAborted))
    this.#storedFactors.set(key, factor)
    return solveStoredLeastSquares(factor, length, levels)
  }

  /** Factors these units and no others. */
  async #solveAlone(
    request: FitRequest,
    module: PruningModule,
    units: readonly number[],
    stopIfAborted: () => void,
  ): Promise<Float32Array> {
    const { shape } = this.#model
    const { length } = inputChannelsOf(shape, module, units)
    if (moduleFactorBytes(length, shape) <= this.#memoryBytes) {
      return solveLeastSquares(await this.#factor(request, module, units), length)
    }
    const name = `alone/${module.index}`
    try {
      return await solveStoredLeastSquares(
        await this.#factorIntoFile(name, request, module, units, stopIfAborted),
        length,
      )
    } finally {
      await this.#files.drop(name)
    }
  }

  async #factor(request: FitRequest, module: PruningModule, units: readonly number[]): Promise<LeastSquaresFactor> {
    const problem = await readProblem(this.#model, statisticsOf(request, module), module)
    return factorLeastSquares(problem, inputChannelsOf(this.#model.shape, module, units))
  }

  async #factorIntoFile(
    name: string,
    request: FitRequest,
    module: PruningModule,
    units: readonly number[],
    stopIfAborted: () => void,
  ): Promise<StoredLeastSquaresFactor> {
    const order = inputChannelsOf(this.#model.shape, module, units)
    const storage = await this.#files.create(name, order.length)
    const problem = await readProblem(this.#model, statisticsOf(request, module), module)
    return factorLeastSquaresInto(storage, problem, order, this.#memoryBytes, stopIfAborted)
  }
}

function statisticsOf({ calibration }: Pick<FitRequest, 'calibration'>, module: PruningModule): ModuleCalibration {
  const statistics = calibration.modules[module.index]
  if (statistics === undefined) throw new RangeError(`The calibration has no module ${module.index}`)
  return statistics
}

function factorBytesOf(shape: ModelShape): number {
  const widths = [shape.queryHeads * shape.headDim, shape.ffnChannels]
  return shape.layers * widths.reduce((sum, width) => sum + moduleFactorBytes(width, shape), 0)
}

function moduleFactorBytes(width: number, { hiddenSize }: ModelShape): number {
  return Float64Array.BYTES_PER_ELEMENT * (packedLength(width) + hiddenSize * width)
}
