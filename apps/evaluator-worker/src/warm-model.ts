import { EspalierError, type ExecutionProvider, type Precision } from '@espalier/contracts'
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
  readonly threads: number | null
  readonly provider: ExecutionProvider
  readonly deviceId: number
  /** null: not known. */
  readonly memoryBytes: number | null
  /** Of models that no search is prepared with yet. */
  readonly precision: Precision | 'auto'
}

export function createWarmModels(options: WarmModelOptions): WarmModels {
  let warm: { directory: string; precision: Precision | 'auto'; model: Promise<WarmModel> } | undefined

  const release = async () => {
    const leaving = await warm?.model.catch(() => undefined)
    warm = undefined
    await leaving?.evaluator.close()
  }
  const load = async (directory: string, precision: Precision | 'auto'): Promise<WarmModel> => {
    const model = await openModel(directory)
    const hash = await hashModel(model)
    const evaluator = await createEvaluator({
      modelDirectory: directory,
      provider: options.provider,
      deviceId: options.deviceId,
      precision,
      ...(options.memoryBytes === null ? {} : { memoryBytes: Math.floor(options.memoryBytes) }),
      ...(options.threads === null ? {} : { threads: options.threads }),
    })
    return { model, prunable: createPrunableModel(model.shape), hash, evaluator }
  }
  return {
    async get(directory, prepared) {
      const precision = prepared?.precision ?? options.precision
      // What was loaded with the choice left open serves the precision that it chose.
      const loaded =
        warm?.directory === directory ? (await warm.model.catch(() => null))?.evaluator.precision : undefined
      if (warm?.directory !== directory || (warm.precision !== precision && loaded !== precision)) {
        await release()
        warm = { directory, precision, model: load(directory, precision) }
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
