import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EspalierError, type EvaluationsFile, type ImportanceMetric, type Split } from '@espalier/contracts'
import { type CalibrationRecord, createEvaluator, type Evaluator, measureLogitsModel } from '@espalier/evaluator'
import type { LabCalibration, Laboratory, LabRequest, WriteAndRunRequest, WrittenModel } from '@espalier/experiments'
import { type HuggingFaceModel, hashModel, openModel } from '@espalier/model-graph'
import { writeCompactOnnx } from '@espalier/pruned-model'
import { createPrunableModel, rankModules, remember, selectKeptIndices, sparsityOf } from '@espalier/pruning'

export interface LaboratorySource {
  readonly directory: string
  readonly name: string
  readonly windowLength: number
  readonly ids: Readonly<Record<Split, Int32Array>>
  readonly known: EvaluationsFile | null
  readonly signal: AbortSignal
}

/** An evaluator and its texts as a laboratory: every measurement of experiments goes through here. */
export async function openLaboratory(source: LaboratorySource): Promise<Laboratory> {
  const model = await openModel(source.directory)
  const evaluator = await createEvaluator({ modelDirectory: model.directory })
  const prunable = createPrunableModel(model.shape)
  const records = new WeakMap<LabCalibration, CalibrationRecord>()
  const { ids, windowLength, signal } = source
  const windowsOf = (split: Split) => Math.floor(ids[split].length / windowLength)
  const recordOf = (calibration: LabCalibration): CalibrationRecord => {
    const record = records.get(calibration)
    if (record) return record
    throw new EspalierError('INTERNAL', `A calibration of another laboratory was given to that of ${source.name}`)
  }
  return {
    ...{ name: source.name, shape: model.shape, model: prunable, windowLength, known: source.known },
    windows: {
      calibration: windowsOf('calibration'),
      validation: windowsOf('validation'),
      test: windowsOf('test'),
    },
    now,
    async calibrate(windows) {
      const started = now()
      const record = await evaluator.calibrate({ ids: ids.calibration, windowLength, windows, signal })
      const calibration: LabCalibration = {
        ...{ windows, seconds: now() - started },
        rankings: remember((metric: ImportanceMetric) => rankModules(metric, record.modules, prunable)),
      }
      records.set(calibration, record)
      return calibration
    },
    measure: (request) => measure(source, evaluator, recordOf(request.calibration), request),
    async writeAndRun(request) {
      const directory = await mkdtemp(join(tmpdir(), 'espalier-pruned-'))
      try {
        return await writeAndRun(source, model, recordOf(request.calibration).modules, directory, request)
      } finally {
        await rm(directory, { recursive: true, force: true })
      }
    },
    close: () => evaluator.close(),
  }
}

function now(): number {
  return performance.now() / 1000
}

async function measure(
  { ids, windowLength, signal }: LaboratorySource,
  evaluator: Evaluator,
  calibration: CalibrationRecord,
  { policies, method, split, firstWindow = 0, windows, calibration: lab, alone = false }: LabRequest,
) {
  const rankings = lab.rankings(method.metric)
  const request = {
    ...{ ids: ids[split].subarray(firstWindow * windowLength), windowLength, windows, calibration, signal },
    ...method,
  }
  const masks = policies.map((kept) => selectKeptIndices(rankings, kept))
  if (!alone) return evaluator.measureMany({ ...request, policies: masks })
  const measured = []
  for (const keptIndices of masks) measured.push(await evaluator.measure({ ...request, keptIndices }))
  return measured
}

async function writeAndRun(
  { ids, windowLength, signal, name }: LaboratorySource,
  model: HuggingFaceModel,
  calibration: CalibrationRecord['modules'],
  directory: string,
  { kept, method, windows, runs }: WriteAndRunRequest,
): Promise<WrittenModel> {
  const prunable = createPrunableModel(model.shape)
  const sparsity = sparsityOf(
    prunable,
    kept.map(({ length }) => length),
  )
  const unknown = { densePerplexity: null, uniformPerplexity: null, policyPerplexity: null, validationPerplexity: null }
  const protocol = { windowLength, calibrationWindows: null, validationWindows: null, testWindows: windows }
  const written = await writeCompactOnnx({
    ...{ model, modelHash: await hashModel(model), keptIndices: kept, directory, ...method },
    calibration,
    report: { modelName: name, sparsity, ...unknown, protocol },
  })
  const run = () =>
    measureLogitsModel({ path: join(directory, 'model.onnx'), ids: ids.test, windowLength, windows, signal })
  const measured = []
  for (let index = 0; index < runs; index++) measured.push(await run())
  const weights = written.files.filter((file) => file.name.startsWith('model.'))
  return {
    parameters: written.parameters,
    bytes: weights.reduce((sum, { bytes }) => sum + bytes, 0),
    tokensPerSecond: (windows * windowLength) / Math.min(...measured.map(({ modelSeconds }) => modelSeconds)),
    perplexity: measured[0]?.perplexity ?? Number.NaN,
  }
}
