export type {
  ModuleInputSums,
  PrunedFile,
  PrunedModel,
  PrunedModelReport,
  PruningRequest,
} from './pruning-request.js'
export { writeCompactOnnx } from './write-compact-onnx.js'
export { writeHuggingFace } from './write-hugging-face.js'
