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
  readonly #castWhole: boolean
  readonly #declared = new Set<string>()
  readonly #cast = new Map<string, string>()

  /** @param castWhole see `WeightPrecision`: `fp32` */
  constructor(graph: OnnxGraph, locate: LocateWeight, computeType: ComputeType = 'float', castWhole = false) {
    this.#graph = graph
    this.computeType = computeType
    this.#locate = locate
    this.#castWhole = castWhole
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
    if (this.#castWhole) return graph.add('Gather', [this.#whole(tensor, shape), kept], { axis })
    const gathered = graph.add('Gather', [this.#declare(tensor, shape), kept], { axis })
    return castTo(graph, gathered, onnxTypeOf[tensor.dtype], this.computeType)
  }

  #stored(tensor: TensorLocation): string {
    return this.#declare(tensor, this.#locate(tensor).shape)
  }

  /** Rows [from, to) as float, int64 [1] both; sliced before they are converted, for the same reason. */
  rows(graph: OnnxGraph, tensor: TensorLocation, from: string, to: string): string {
    const axis = graph.int64([0])
    const { shape } = this.#locate(tensor)
    if (this.#castWhole) return graph.add('Slice', [this.#whole(tensor, shape), from, to, axis])
    const rows = graph.add('Slice', [this.#declare(tensor, shape), from, to, axis])
    return castTo(graph, rows, onnxTypeOf[tensor.dtype], 'float')
  }

  /** The whole weight as float, converted once, when the session is created: its conversion has a constant input. */
  #whole(tensor: TensorLocation, shape: readonly number[]): string {
    const stored = this.#declare(tensor, shape)
    const known = this.#cast.get(stored) ?? castTo(this.#graph, stored, onnxTypeOf[tensor.dtype], 'float')
    this.#cast.set(stored, known)
    return known
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
