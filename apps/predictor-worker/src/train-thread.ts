import { parentPort, workerData } from 'node:worker_threads'
import { recordError } from '@espalier/contracts'
import { readCalibration } from '@espalier/evaluator'
import { predictorTrainers } from '@espalier/predictor-cnn'
import { createPrunableModel, rankModules } from '@espalier/pruning'
import type { TrainMessage, TrainRequest } from './train-messages.js'

/** Trains for up to seconds without a pause: here, so that the main thread can keep its lease. */
async function train({
  kind,
  shape,
  metric,
  calibration,
  evaluations,
  seed,
  related,
}: TrainRequest): Promise<TrainMessage> {
  try {
    const model = createPrunableModel(shape)
    // Gram matrices stay in the file: importance needs none of them.
    const { modules } = await readCalibration(calibration, 0)
    const rankings = rankModules(metric, modules, model)
    const predictor = await predictorTrainers[kind]({ model, rankings, evaluations, seed, related })
    return {
      type: 'trained',
      predictor: { parameters: predictor.toJSON(), onnx: predictor.toOnnx(), summary: predictor.summary },
    }
  } catch (error) {
    return { type: 'failed', error: recordError(error) }
  }
}

parentPort?.postMessage(await train(workerData as TrainRequest))
