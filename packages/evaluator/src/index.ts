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
