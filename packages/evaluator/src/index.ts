export { readCalibration, writeCalibration } from './calibration-file.js'
export { countCpus } from './count-cpus.js'
export { createEvaluator } from './create-evaluator.js'
export type {
  CalibrateRequest,
  CalibrationRecord,
  Evaluator,
  EvaluatorOptions,
  ExecutionProvider,
  Measurement,
  MeasureRequest,
  ModuleCalibration,
  RunOptions,
  WindowedTokens,
} from './evaluator.js'
export { type FitMemory, gramBytesOf, planFitMemory } from './gram-memory.js'
export { type MeasureLogitsRequest, measureLogitsModel } from './measure-logits-model.js'
export { measureProductPeak } from './measure-product-peak.js'
