export { cpuName, createCpuDevice, type Device, deviceNames, gpus } from './devices.js'
export {
  countEvaluationFlops,
  estimateMemory,
  type MemoryEstimate,
  type RunSettings,
  type Windows,
} from './evaluation-cost.js'
export {
  type EvaluatorDevice,
  estimateEvaluatorMemory,
  largestBatch,
  leastMemoryOf,
  storedBytesOf,
  tokensPerRun,
} from './evaluator-memory.js'
export {
  type PlannedModel,
  type PlannedSearch,
  type PlannedSpeed,
  type PlannedStage,
  planSearchCost,
  type SearchCost,
} from './plan-search-cost.js'
