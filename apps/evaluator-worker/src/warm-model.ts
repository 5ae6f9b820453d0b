import { EspalierError, type ExecutionProvider, type Precision, type WeightPrecision } from '@espalier/contracts'
import { createEvaluator, type Evaluator } from '@espalier/evaluator'
import { type HuggingFaceModel, hashModel, openModel } from '@espalier/model-graph'
import { createPrunableModel, type PrunableModel } from '@espalier/pruning'

/** A model whose session is loaded: the next evaluation of it starts at once. */
export interface WarmModel {
  readonly model: HuggingFaceModel
  readonly prunable: PrunableModel
  readonly hash: string
  readonly evaluator: Evaluator
}

export interface WarmModels {
  /**
   * The model in a folder, opened, hashed and loaded; the one before it is let go.
   * @param prepared hash and precision that the search was prepared with; null: not prepared yet
   * @throws EspalierError MODEL_* when it cannot be opened, MODEL_CHANGED when the folder holds another model now
   */
  get(directory: string, prepared: PreparedModel | null): Promise<WarmModel>
  close(): Promise<void>
}

export interface PreparedModel {
  readonly hash: string | null
  readonly precision: Precision
}

export interface WarmModelOptions {
  /** Threads that an evaluator may use now. */
  readonly countThreads: () => number
  readonly provider: ExecutionProvider
  readonly deviceId: number
  /** null: not known. */
  readonly memoryBytes: number | null
  /** Of models that no search is prepared with yet. */
  readonly precision: Precision | 'auto'
  readonly weights: WeightPrecision
}

/** How a session was made. */
interface SessionChoice {
  readonly directory: string
  readonly precision: Precision | 'auto'
  readonly threads: number
}

export function createWarmModels(options: WarmModelOptions): WarmModels {
  let warm: { readonly session: SessionChoice; readonly model: Promise<WarmModel> } | undefined

  const release = async () => {
    const leaving = await warm?.model.catch(() => undefined)
    warm = undefined
    await leaving?.evaluator.close()
  }
  const loadSession = ({ directory, precision, threads }: SessionChoice) =>
    createEvaluator({
      modelDirectory: directory,
      provider: options.provider,
      deviceId: options.deviceId,
      weights: options.weights,
      precision,
      threads,
      ...(options.memoryBytes === null ? {} : { memoryBytes: Math.floor(options.memoryBytes) }),
    })
  const load = async (session: SessionChoice): Promise<WarmModel> => {
    const model = await openModel(session.directory)
    const hash = await hashModel(model)
    const evaluator = await loadSession(session)
    return { model, prunable: createPrunableModel(model.shape), hash, evaluator }
  }
  /** A session has the threads it was made with: when its share of the machine has changed, it is made anew. */
  const reload = async (session: SessionChoice, leaving: Promise<WarmModel>): Promise<WarmModel> => {
    const model = await leaving
    await model.evaluator.close()
    return { ...model, evaluator: await loadSession(session) }
  }
  return {
    async get(directory, prepared) {
      const precision = prepared?.precision ?? options.precision
      const threads = options.countThreads()
      // What was loaded with the choice left open serves the precision that it chose.
      const loaded =
        warm?.session.directory === directory ? (await warm.model.catch(() => null))?.evaluator.precision : undefined
      if (warm?.session.directory !== directory || (warm.session.precision !== precision && loaded !== precision)) {
        await release()
        const session = { directory, precision, threads }
        warm = { session, model: load(session) }
      } else if (warm.session.threads !== threads) {
        const session = { ...warm.session, threads }
        warm = { session, model: reload(session, warm.model) }
      }
      const entry = warm
      const model = await entry.model.catch((error: unknown) => {
        if (warm === entry) warm = undefined
        throw error
      })
      const expected = prepared?.hash ?? null
      if (expected !== null && expected !== model.hash) {
        await release()
        throw new EspalierError(
          'MODEL_CHANGED',
          `The model in ${directory} has hash ${model.hash}; the search was prepared with ${expected}`,
          { directory, hash: model.hash, expected },
        )
      }
      return model
    },
    close: release,
  }
}
