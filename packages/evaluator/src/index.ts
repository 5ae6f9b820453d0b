export { bitsPerByte } from './bits-per-byte.js'
export { readCalibration, writeCalibration } from './calibration-file.js'
export { countCpus } from './count-cpus.js'
export { countWindowBytes } from './count-window-bytes.js'
export { createEvaluator } from './create-evaluator.js'
export type {
  CalibrateRequest,
  CalibrationRecord,
  ContinuationsMeasurement,
  ContinuationsRequest,
  DenseComparison,
  Evaluator,
  EvaluatorOptions,
  MeasureManyRequest,
  Measurement,
  MeasureRequest,
  ModuleCalibration,
  ModuleWork,
  RunOptions,
  ScoredSequence,
  WindowedTokens,
} from './evaluator.js'
export { type DeviceRequest, type EvaluatorDeviceDescription, findDevice } from './find-device.js'
export { type FitMemory, gramBytesOf, planFitMemory } from './gram-memory.js'
export { measureLatencies } from './measure-latencies.js'
export { type MeasureLogitsRequest, measureLogitsModel } from './measure-logits-model.js'
export { measureProductPeak } from './measure-product-peak.js'
export { countSharedModules } from './shared-modules.js'
