export { bitsPerByte } from './bits-per-byte.js'
export { readCalibration, writeCalibration } from './calibration-file.js'
export { countCpus } from './count-cpus.js'
export { countWindowBytes } from './count-window-bytes.js'
export { createEvaluator } from './create-evaluator.js'
export type {
  CalibrateRequest,
  CalibrationRecord,
  DenseComparison,
  Evaluator,
  EvaluatorOptions,
  ExecutionProvider,
  Measurement,
  MeasureRequest,
  ModuleCalibration,
  RunOptions,
  WindowedTokens,
} from './evaluator.js'
export { gramBytesOf } from './gram-memory.js'
export { type MeasureLogitsRequest, measureLogitsModel } from './measure-logits-model.js'
export { measureProductPeak } from './measure-product-peak.js'
