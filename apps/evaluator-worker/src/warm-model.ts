import { EspalierError } from '@espalier/contracts'
import { createEvaluator, type Evaluator, type ExecutionProvider } from '@espalier/evaluator'
import { type HuggingFaceModel, hashModel, openModel, type WeightPrecision } from '@espalier/model-graph'
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
   * @param expectedHash hash that the search was prepared with; null: not prepared yet
   * @throws EspalierError MODEL_* when it cannot be opened, MODEL_CHANGED when the folder holds another model now
   */
  get(directory: string, expectedHash: string | null): Promise<WarmModel>
  close(): Promise<void>
}

export interface WarmModelOptions {
  /** Threads that an evaluator may use now. */
  readonly countThreads: () => number
  readonly provider: ExecutionProvider
  readonly weights: WeightPrecision
}

export function createWarmModels({ countThreads, provider, weights }: WarmModelOptions): WarmModels {
  let warm: { directory: string; model: Promise<WarmModel>; threads: number } | undefined

  const release = async () => {
    const leaving = await warm?.model.catch(() => undefined)
    warm = undefined
    await leaving?.evaluator.close()
  }
  const loadSession = (directory: string, threads: number) =>
    createEvaluator({ modelDirectory: directory, provider, weights, threads })
  const load = async (directory: string, threads: number): Promise<WarmModel> => {
    const model = await openModel(directory)
    const hash = await hashModel(model)
    const evaluator = await loadSession(directory, threads)
    return { model, prunable: createPrunableModel(model.shape), hash, evaluator }
  }
  /** A session has the threads it was made with: when its share of the machine has changed, it is made anew. */
  const reload = async (directory: string, leaving: Promise<WarmModel>, threads: number): Promise<WarmModel> => {
    const model = await leaving
    await model.evaluator.close()
    return { ...model, evaluator: await loadSession(directory, threads) }
  }
  return {
    async get(directory, expectedHash) {
      const threads = countThreads()
      if (warm?.directory !== directory) {
        await release()
        warm = { directory, model: load(directory, threads), threads }
      } else if (warm.threads !== threads) {
        warm = { directory, model: reload(directory, warm.model, threads), threads }
      }
      const entry = warm
      const model = await entry.model.catch((error: unknown) => {
        if (warm === entry) warm = undefined
        throw error
      })
      if (expectedHash !== null && expectedHash !== model.hash) {
        await release()
        throw new EspalierError(
          'MODEL_CHANGED',
          `The model in ${directory} has hash ${model.hash}; the search was prepared with ${expectedHash}`,
          { directory, hash: model.hash, expected: expectedHash },
        )
      }
      return model
    },
    close: release,
  }
}
