export type { HuggingFaceModel, LayerTensors, ModelConfig, TensorLocation } from './hugging-face-model.js'
