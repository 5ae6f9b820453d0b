import { totalmem } from 'node:os'
import { searchDefaults, type WeightPrecision } from '@espalier/contracts'
import { createCpuDevice, type Device, gpus, planSearchCost } from '@espalier/cost-model'
import { countCpus, measureProductPeak, planFitMemory } from '@espalier/evaluator'
import { readModelShape } from '@espalier/model-graph'
import { chooseCompensation, countExtraTrials, trialMetrics } from '@espalier/search'

export interface PlanRequest {
  readonly device: string
  readonly targets: readonly number[]
  readonly budget: number
  readonly window: number
  readonly calibrationWindows: number
  readonly validationWindows: number
  readonly finalWindows?: number
  readonly weights: WeightPrecision
}

/** What `espalier plan --json` prints. */
export type Plan = Awaited<ReturnType<typeof planModel>>

/** A search measures its finalists on the whole split, which shapes do not tell: so many times an evaluation. */
export const assumedFinalShare = 4

/**
 * What a search of the model whose config.json lies in `directory` would take.
 * @throws EspalierError MODEL_NOT_FOUND, MODEL_UNREADABLE, MODEL_CONFIG_INVALID, MODEL_UNSUPPORTED_ARCHITECTURE
 */
export async function planModel(directory: string, options: PlanRequest) {
  const model = await readModelShape(directory)
  const search = {
    ...{ targets: [...options.targets], budget: options.budget, windowLength: options.window },
    ...{ calibrationWindows: options.calibrationWindows, validationWindows: options.validationWindows },
    finalWindows: options.finalWindows ?? assumedFinalShare * options.validationWindows,
    ...{ agent: searchDefaults.agent, finalists: searchDefaults.finalists, fidelity: searchDefaults.fidelity },
  }
  const device = await findDevice(options.device)
  const { chosen: autoCompensation } = chooseCompensation({ compensation: 'auto', ...search }, model.shape)
  const { metric, compensation } = searchDefaults
  const trials = countExtraTrials(trialMetrics({ ...search, metric, compensation }, model.shape))
  const leastSquares = planFitMemory(model.shape)
  return {
    directory,
    ...model,
    device,
    search,
    autoCompensation,
    leastSquares,
    ...planSearchCost({ ...model, weights: options.weights }, device, { ...search, trials }),
  }
}

async function findDevice(name: string): Promise<Device> {
  const gpu = gpus.find((device) => device.name === name)
  if (gpu !== undefined) return gpu
  const threads = countCpus()
  return createCpuDevice({ memoryBytes: totalmem(), threads, peakFlops: await measureProductPeak({ threads }) })
}
