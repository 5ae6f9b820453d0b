import { ProtobufWriter } from './protobuf-writer.js'

/** TensorProto.DataType of onnx.proto. */
export const onnxTypes = {
  float: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  double: 11,
  bfloat16: 16,
} as const
export type OnnxType = keyof typeof onnxTypes

/** A dimension: a number, or a name for one that varies. */
export type OnnxDimension = number | string

/** A number is an integer attribute, an array of numbers one of integers; the objects say what they are. */
export type OnnxAttribute =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly floats: Iterable<number> }
  | { readonly strings: readonly string[] }
  | { readonly type: OnnxType }
  | { readonly graph: OnnxGraph }

export interface OnnxNode {
  readonly operator: string
  /** An empty name stands for an optional input that is left out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>
  /** Default: the standard operators. */
  readonly domain?: string
}

/** Part of a file that holds a tensor's data. `location` is relative to the folder of the model. */
export interface ExternalData {
  readonly location: string
  readonly offset: number
  readonly bytes: number
}

export interface OnnxModelOptions {
  /** Version of the standard operators. */
  readonly opset: number
  /** Version of every further domain used. */
  readonly domains?: Readonly<Record<string, number>>
  readonly producer: string
  /** Default: 10, the highest that any ONNX Runtime since 1.18 reads. */
  readonly irVersion?: number
  readonly metadata?: Readonly<Record<string, string>>
}

/** Builds an ONNX graph node by node and writes it as protocol buffers (onnx.proto, IR version 10). */
export class OnnxGraph {
  readonly #name: string
  readonly #names: { next: number }
  readonly #nodes: ProtobufWriter[] = []
  readonly #initializers: ProtobufWriter[] = []
  readonly #inputs: ProtobufWriter[] = []
  readonly #outputs: ProtobufWriter[] = []
  readonly #constants = new Map<string, string>()

  constructor(name: string, names: { next: number } = { next: 0 }) {
    this.#name = name
    this.#names = names
  }

  /** A body for `If` or `Loop`. It sees the values of this graph; names stay unique over both. */
  createSubgraph(name: string): OnnxGraph {
    return new OnnxGraph(name, this.#names)
  }

  createName(hint: string): string {
    return `${hint}_${this.#names.next++}`
  }

  /** Adds a node with one output and returns the output's name. */
  add(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    domain = '',
  ): string {
    const output = this.createName(operator)
    this.addNode({ operator, inputs, outputs: [output], attributes, domain })
    return output
  }

  addNode(node: OnnxNode): void {
    const message = new ProtobufWriter()
    for (const input of node.inputs) message.string(1, input)
    for (const output of node.outputs) message.string(2, output)
    message.string(3, this.createName(`node_${node.operator}`)).string(4, node.operator)
    for (const [name, value] of Object.entries(node.attributes ?? {})) message.message(5, encodeAttribute(name, value))
    if (node.domain) message.string(7, node.domain)
    this.#nodes.push(message)
  }

  addInput(name: string, type: OnnxType, dimensions: readonly OnnxDimension[]): string {
    this.#inputs.push(encodeValueInfo(name, type, dimensions))
    return name
  }

  /** Declares `value` as an output of the graph, under its own name or under `name`. */
  addOutput(value: string, type: OnnxType, dimensions: readonly OnnxDimension[], name = value): void {
    if (name !== value) this.addNode({ operator: 'Identity', inputs: [value], outputs: [name] })
    this.#outputs.push(encodeValueInfo(name, type, dimensions))
  }

  addInitializer(name: string, type: OnnxType, dimensions: readonly number[], data: Uint8Array | ExternalData): string {
    const message = new ProtobufWriter()
    for (const dimension of dimensions) message.integer(1, dimension)
    message.integer(2, onnxTypes[type]).string(8, name)
    if (data instanceof Uint8Array) {
      message.bytes(9, data)
    } else {
      const entries = { location: data.location, offset: String(data.offset), length: String(data.bytes) }
      for (const [key, value] of Object.entries(entries)) {
        message.message(13, new ProtobufWriter().string(1, key).string(2, value))
      }
      message.integer(14, 1)
    }
    this.#initializers.push(message)
    return name
  }

  /** A vector of int64, or a scalar when given one number; the same constant is stored once. */
  int64(values: number | readonly number[]): string {
    const scalar = typeof values === 'number'
    const data = BigInt64Array.from(scalar ? [BigInt(values)] : values.map(BigInt))
    return this.#constant('int64', scalar ? [] : [data.length], data)
  }

  /** A vector of float, or a scalar when given one number. */
  float(values: number | Float32Array): string {
    const scalar = typeof values === 'number'
    const data = scalar ? Float32Array.of(values) : values
    return this.#constant('float', scalar ? [] : [data.length], data)
  }

  bool(value: boolean): string {
    return this.#constant('bool', [], Uint8Array.of(value ? 1 : 0))
  }

  encodeModel(options: OnnxModelOptions): Uint8Array {
    const model = new ProtobufWriter().integer(1, options.irVersion ?? 10).string(2, options.producer)
    model.message(7, this.encode())
    for (const [domain, version] of [['', options.opset] as const, ...Object.entries(options.domains ?? {})]) {
      model.message(8, new ProtobufWriter().string(1, domain).integer(2, version))
    }
    for (const [key, value] of Object.entries(options.metadata ?? {})) {
      model.message(14, new ProtobufWriter().string(1, key).string(2, value))
    }
    return model.finish()
  }

  /** GraphProto. */
  encode(): ProtobufWriter {
    const graph = new ProtobufWriter()
    for (const node of this.#nodes) graph.message(1, node)
    graph.string(2, this.#name)
    for (const initializer of this.#initializers) graph.message(5, initializer)
    for (const input of this.#inputs) graph.message(11, input)
    for (const output of this.#outputs) graph.message(12, output)
    return graph
  }

  #constant(type: OnnxType, dimensions: readonly number[], data: ArrayBufferView): string {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
    const key = `${type} ${dimensions.length} ${bytes.toString('base64')}`
    const known = this.#constants.get(key)
    if (known !== undefined) return known
    const name = this.addInitializer(this.createName('constant'), type, dimensions, bytes)
    this.#constants.set(key, name)
    return name
  }
}

/** AttributeProto; field 20 is the attribute's type. */
function encodeAttribute(name: string, value: OnnxAttribute): ProtobufWriter {
  const attribute = new ProtobufWriter().string(1, name)
  if (typeof value === 'number') return attribute.integer(3, value).integer(20, 2)
  if (typeof value === 'string') return attribute.string(4, value).integer(20, 3)
  if ('float' in value) return attribute.float(2, value.float).integer(20, 1)
  if ('floats' in value) {
    for (const element of value.floats) attribute.float(7, element)
    return attribute.integer(20, 6)
  }
  if ('strings' in value) {
    for (const element of value.strings) attribute.string(9, element)
    return attribute.integer(20, 8)
  }
  if ('type' in value) return attribute.integer(3, onnxTypes[value.type]).integer(20, 2)
  if ('graph' in value) return attribute.message(6, value.graph.encode()).integer(20, 5)
  for (const element of value) attribute.integer(8, element)
  return attribute.integer(20, 7)
}

function encodeValueInfo(name: string, type: OnnxType, dimensions: readonly OnnxDimension[]): ProtobufWriter {
  const shape = new ProtobufWriter()
  for (const dimension of dimensions) {
    const message = new ProtobufWriter()
    shape.message(1, typeof dimension === 'string' ? message.string(2, dimension) : message.integer(1, dimension))
  }
  const tensor = new ProtobufWriter().integer(1, onnxTypes[type]).message(2, shape)
  return new ProtobufWriter().string(1, name).message(2, new ProtobufWriter().message(1, tensor))
}
