export {
  type ComparedPredictor,
  comparedPredictors,
  comparePredictors,
  type PredictorResult,
  SPARSITY_BINS,
} from './compare-predictors.js'
export type { ExperimentPart } from './experiment-part.js'
export { experimentParts } from './experiment-parts.js'
export { type ExperimentScale, fullScale, quickScale } from './experiment-scale.js'
export type {
  LabCalibration,
  LabMeasurement,
  Laboratory,
  LabRequest,
  RandomShape,
  Workshop,
  WriteAndRunRequest,
  WrittenModel,
} from './laboratory.js'
export { type PerformedStep, performStep, type SearchContext } from './perform-step.js'
export { renderPlot } from './report/render-plot.js'
export { renderReport } from './report/render-report.js'
