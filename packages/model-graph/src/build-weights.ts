import type { OnnxGraph, OnnxType } from '@espalier/tensor-files'
import { type ComputeType, castTo } from './compute-type.js'
import type { TensorLocation } from './hugging-face-model.js'

const onnxTypeOf = { F32: 'float', F16: 'float16', BF16: 'bfloat16' } as const satisfies Record<
  TensorLocation['dtype'],
  OnnxType
>

/** Bytes of a weight as external data of a graph. */
export interface WeightData {
  readonly location: string
  readonly offset: number
  readonly bytes: number
  /** As stored there. */
  readonly shape: readonly number[]
}

/** Where a weight's bytes lie, the file named relative to the folder that the session is given. */
export type LocateWeight = (tensor: TensorLocation) => WeightData

/** The weight where the model itself has it. */
export function locateInModel(tensor: TensorLocation): WeightData {
  return { location: tensor.fileName, offset: tensor.offset, bytes: tensor.bytes, shape: tensor.shape }
}

/**
 * Declares stored weights as external data of the main graph, each once, so that ONNX Runtime maps the file
 * into memory instead of copying it.
 */
export class GraphWeights {
  readonly #graph: OnnxGraph
  readonly #locate: LocateWeight
  /** What `value` and `gathered` give. */
  readonly computeType: ComputeType
  readonly #declared = new Set<string>()

  constructor(graph: OnnxGraph, locate: LocateWeight, computeType: ComputeType = 'float') {
    this.#graph = graph
    this.computeType = computeType
    this.#locate = locate
  }

  /** The whole weight as float. */
  float(graph: OnnxGraph, tensor: TensorLocation): string {
    return castTo(graph, this.#stored(tensor), onnxTypeOf[tensor.dtype], 'float')
  }

  /** The whole weight in the type of products. */
  value(graph: OnnxGraph, tensor: TensorLocation): string {
    return castTo(graph, this.#stored(tensor), onnxTypeOf[tensor.dtype], this.computeType)
  }

  /**
   * The entries `kept` along `axis` in the type of products; `shape` splits the weight's dimensions into units. Gathers before it
   * converts: the conversion then has an input that is not constant, so that no session keeps a float copy of a
   * half-precision weight.
   */
  gathered(graph: OnnxGraph, tensor: TensorLocation, shape: readonly number[], axis: number, kept: string): string {
    const gathered = graph.add('Gather', [this.#declare(tensor, shape), kept], { axis })
    return castTo(graph, gathered, onnxTypeOf[tensor.dtype], this.computeType)
  }

  #stored(tensor: TensorLocation): string {
    return this.#declare(tensor, this.#locate(tensor).shape)
  }

  #declare(tensor: TensorLocation, shape: readonly number[]): string {
    // ONNX Runtime maps one initializer a view of the file; views of the same bytes share the pages.
    const name = `${tensor.name}[${shape.join(',')}]`
    if (!this.#declared.has(name)) {
      this.#declared.add(name)
      const { location, offset, bytes } = this.#locate(tensor)
      this.#graph.addInitializer(name, onnxTypeOf[tensor.dtype], shape, { location, offset, bytes })
    }
    return name
  }
}
