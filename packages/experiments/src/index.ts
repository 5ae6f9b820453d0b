export {
  type ComparedPredictor,
  comparedPredictors,
  comparePredictors,
  type PredictorResult,
  SPARSITY_BINS,
} from './compare-predictors.js'
