export { anyPredictorFromJSON, type PredictorTrainer, predictorTrainers } from './predictor-kinds.js'
