import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  EspalierError,
  type EvaluationsFile,
  type ExperimentsSettings,
  evaluationsFileSchema,
} from '@espalier/contracts'
import type { ExperimentScale, Laboratory, RandomShape, Workshop } from '@espalier/experiments'
import { hashModel, openModel } from '@espalier/model-graph'
import { createPrunableModel, createRandomGenerator } from '@espalier/pruning'
import { readJsonFile } from '../input/read-json.js'
import { demoModelDirectory } from '../input/resolve-model.js'
import { openLaboratory } from './open-laboratory.js'
import { readExperimentTexts } from './read-experiment-texts.js'
import { drawTokens, writeRandomModel } from './write-random-model.js'

const tinyModels = fileURLToPath(new URL('../../../../packages/model-graph/fixtures/models', import.meta.url))
const demoEvaluations = fileURLToPath(
  new URL('../../../../packages/predictor/fixtures/policies-demo.json', import.meta.url),
)

/** Tokens a window of models that are only small or random, and windows of their texts. */
const TINY_WINDOW = 32
const SHAPE_WINDOW = 128
const RANDOM_WINDOWS = 64

export interface WorkshopRequest {
  readonly directory: string
  /** Folder of the three texts. */
  readonly texts: string
  /** Measured policies of the model; null: those of the bundled model where it is that, else none. */
  readonly evaluations: string | null
  readonly scale: ExperimentScale
  readonly signal: AbortSignal
}

export interface OpenWorkshop extends Workshop {
  /** What of the settings follows from the model and its texts. */
  readonly identity: Omit<ExperimentsSettings, 'seeds' | 'quick'>
  close(): Promise<void>
}

/**
 * Opens the model of a report with its texts, and lends it small and random models.
 * @throws EspalierError whatever is wrong with the model, the texts or the measured policies
 */
export async function openWorkshop(request: WorkshopRequest): Promise<OpenWorkshop> {
  const { directory, signal, scale } = request
  const model = await openModel(directory)
  const { ids, hashes } = await readExperimentTexts(request.texts, directory)
  const windowLength = Math.min(scale.windowLength, model.shape.maxPositions)
  const known = await readKnown(request)
  if (known) checkSameModel(known.file, createPrunableModel(model.shape).modules, known.path)
  const name = basename(model.directory)
  const subject = await openLaboratory({ directory, name, windowLength, ids, known: known?.file ?? null, signal })
  return {
    subject,
    tinyModels: await listTinyModels(),
    openTinyModel: (tiny) => openRandomTexts(join(tinyModels, tiny), tiny, TINY_WINDOW, signal),
    createRandomModel: (shape) => createRandomModel(shape, signal),
    identity: {
      ...{ model: name, modelHash: await hashModel(model), texts: hashes, windowLength },
      evaluations: known?.hash ?? null,
    },
    close: () => subject.close(),
  }
}

async function readKnown({ evaluations, directory }: WorkshopRequest) {
  const isDemo = directory === demoModelDirectory && existsSync(demoEvaluations)
  const path = evaluations ?? (isDemo ? demoEvaluations : null)
  if (path === null) return null
  const what = 'of format espalier-evaluations/1'
  const file = await readJsonFile(path, evaluationsFileSchema, what, 'EVALUATIONS_INVALID')
  return {
    path,
    file,
    hash: createHash('sha256')
      .update(await readFile(path))
      .digest('hex'),
  }
}

function checkSameModel(
  { model }: EvaluationsFile,
  modules: readonly { readonly units: number; readonly parametersPerUnit: number }[],
  path: string,
): void {
  const sizes = (list: typeof modules) =>
    list.map(({ units, parametersPerUnit }) => `${units}x${parametersPerUnit}`).join()
  if (sizes(model.modules) === sizes(modules)) return
  throw new EspalierError(
    'EVALUATIONS_INVALID',
    `${path} was measured on another model: its modules have other sizes`,
    {
      file: path,
      model: model.name,
    },
  )
}

/** Fixtures of the repository; an installation without them has none. */
async function listTinyModels(): Promise<string[]> {
  return existsSync(tinyModels) ? (await readdir(tinyModels)).sort() : []
}

async function createRandomModel(shape: RandomShape, signal: AbortSignal): Promise<Laboratory> {
  const directory = await mkdtemp(join(tmpdir(), 'espalier-random-'))
  const remove = () => rm(directory, { recursive: true, force: true })
  try {
    await writeRandomModel(directory, shape)
    const laboratory = await openRandomTexts(directory, `${shape.heads} heads`, SHAPE_WINDOW, signal)
    return { ...laboratory, close: () => laboratory.close().finally(remove) }
  } catch (error) {
    await remove()
    throw error
  }
}

/** A model without texts, on tokens drawn at random. */
async function openRandomTexts(
  directory: string,
  name: string,
  windowLength: number,
  signal: AbortSignal,
): Promise<Laboratory> {
  const { shape } = await openModel(directory)
  const random = createRandomGenerator(1, 'random-texts')
  const draw = () => drawTokens(RANDOM_WINDOWS * windowLength, shape.vocabularySize, random)
  const ids = { calibration: draw(), validation: draw(), test: draw() }
  return openLaboratory({ directory, name, windowLength, ids, known: null, signal })
}
