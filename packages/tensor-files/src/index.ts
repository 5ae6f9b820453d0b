export {
  decodeFloats,
  encodeFloats,
  type FloatDtype,
  floatBytes,
  isFloatDtype,
  roundFloats,
} from './float-conversion.js'
export { type Float64Source, readFloat64Range, type StoredFloat64 } from './float64-source.js'
export {
  type ExternalData,
  type OnnxAttribute,
  type OnnxDimension,
  OnnxGraph,
  type OnnxModelOptions,
  type OnnxNode,
  type OnnxType,
  onnxTypes,
} from './onnx-graph.js'
export { openSafetensors, readBytesAt, readFloat32At, type SafetensorsFile } from './open-safetensors.js'
export { type JsonRules, parseJson } from './parse-json.js'
export {
  bytesOfDtype,
  type SafetensorsDtype,
  type SafetensorsHeader,
  type SafetensorsTensor,
} from './parse-safetensors-header.js'
export { toInt64 } from './to-int64.js'
export { type SafetensorsEntry, sizeOfEntry, type WrittenFile, writeSafetensors } from './write-safetensors.js'
