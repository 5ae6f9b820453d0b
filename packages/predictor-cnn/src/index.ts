export { cnnPredictorFromJSON } from './cnn-predictor.js'
export { trainCnnPredictor } from './train-cnn-predictor.js'
