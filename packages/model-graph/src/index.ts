export type { ArchitectureDescription, ArchitectureTraits } from './architectures/architecture.js'
export { buildCalibrationGraph, calibrationOutputs, type GramBlock } from './build-calibration-graph.js'
export { buildCompactGraph, type CompactGraphOptions } from './build-compact-graph.js'
export {
  buildEvaluationGraph,
  type EvaluationGraphOptions,
} from './build-evaluation-graph.js'
export { type LocateWeight, locateInModel, type WeightData } from './build-weights.js'
export { listTensors } from './collect-tensors.js'
export { evaluationInputs, evaluationOutputs } from './evaluation-names.js'
export { findModelFile } from './find-model-file.js'
export { hashModel } from './hash-model.js'
export type { HuggingFaceModel, LayerTensors, ModelConfig, TensorLocation } from './hugging-face-model.js'
export { loadTokenizer, type TextTokenizer, type TokensWithEnds } from './load-tokenizer.js'
export { openModel } from './open-model.js'
export { type OutlinedModel, readModelShape } from './read-model-shape.js'
