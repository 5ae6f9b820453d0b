import { EspalierError } from '@espalier/contracts'
import { createEvaluator, type Evaluator, type ExecutionProvider } from '@espalier/evaluator'
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
   * @param expectedHash hash that the search was prepared with; null: not prepared yet
   * @throws EspalierError MODEL_* when it cannot be opened, MODEL_CHANGED when the folder holds another model now
   */
  get(directory: string, expectedHash: string | null): Promise<WarmModel>
  close(): Promise<void>
}

export function createWarmModels(options: { threads: number | null; provider: ExecutionProvider }): WarmModels {
  let warm: { directory: string; model: Promise<WarmModel> } | undefined

  const release = async () => {
    const leaving = await warm?.model.catch(() => undefined)
    warm = undefined
    await leaving?.evaluator.close()
  }
  const load = async (directory: string): Promise<WarmModel> => {
    const model = await openModel(directory)
    const hash = await hashModel(model)
    const evaluator = await createEvaluator({
      modelDirectory: directory,
      provider: options.provider,
      ...(options.threads === null ? {} : { threads: options.threads }),
    })
    return { model, prunable: createPrunableModel(model.shape), hash, evaluator }
  }
  return {
    async get(directory, expectedHash) {
      if (warm?.directory !== directory) {
        await release()
        warm = { directory, model: load(directory) }
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
