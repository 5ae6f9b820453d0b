/**
 * Times of the parts of a model for one token at the end of a context, batch 1, float32, in ONNX Runtime.
 *
 *   attention of g groups   q, k, v = x W; softmax(q K^T) V over C cached tokens; o      rep query heads a group
 *   feed-forward of c       (silu(x G) * (x U)) D
 *   output head             x E
 *
 * A graph holds several copies of the part one after another, as many as the model has layers or as a budget of memory
 * allows: so weights come from memory and not from a cache, and the cost of a call is shared. The time of a graph
 * without any part is taken off. Norms, rotation and residual sums are not measured.
 */
import type { LatencyTable, ModelShape } from '@espalier/contracts'
import { OnnxGraph } from '@espalier/tensor-files'
import { Tensor } from 'onnxruntime-node'
import { createSession, type SessionSettings } from './create-session.js'

export interface LatencySettings extends SessionSettings {
  readonly shape: ModelShape
  readonly contextLength: number
}

const copiesBytes = 64e6
/** A larger part is measured with a share of its hidden size, and its time multiplied: protobuf ends at 2 GB. */
const largestPartBytes = 8e8
const floatBytes = 4
/** Numbers of units that are measured, besides none. */
const mostPoints = 8
const warmUps = 2
const fewestRuns = 7
const leastMs = 60

type AddPart = (graph: OnnxGraph, x: string, hidden: number) => string

export async function runLatencies(settings: LatencySettings): Promise<LatencyTable> {
  const { shape, contextLength, provider, threads } = settings
  const floor = await timeGraph(settings, 0, shape.hiddenSize, (_, x) => x)
  const seconds = async (bytes: number, layers: number, add: AddPart) => {
    const shares = Math.ceil(bytes / largestPartBytes)
    const copies = Math.max(1, Math.min(layers, Math.floor(copiesBytes / bytes)))
    const time = await timeGraph(settings, copies, Math.ceil(shape.hiddenSize / shares), add)
    return Math.max(0, (shares * (time - floor)) / copies)
  }
  const times = async (units: number, part: (kept: number) => { bytes: number; add: AddPart }) => {
    const points = [{ kept: 0, seconds: 0 }]
    for (const kept of measuredCounts(units)) {
      const { bytes, add } = part(kept)
      points.push({ kept, seconds: await seconds(bytes, shape.layers, add) })
    }
    return points
  }
  return {
    format: 'espalier-latencies/1',
    device: provider === 'cpu' ? `cpu, ${threads} threads` : provider,
    contextLength,
    attention: await times(shape.kvHeads, (kept) => attentionPart(shape, kept, contextLength)),
    ffn: await times(shape.ffnChannels, (kept) => feedForwardPart(shape, kept)),
    fixedSeconds: await seconds(shape.hiddenSize * shape.vocabularySize * floatBytes, 1, (graph, x, hidden) => {
      const logits = graph.add('MatMul', [x, addWeight(graph, [hidden, shape.vocabularySize])])
      graph.addOutput(logits, 'float', [1, shape.vocabularySize])
      return x
    }),
  }
}

/** Evenly spread, all units included. */
function measuredCounts(units: number): number[] {
  const points = Math.min(units, mostPoints)
  return Array.from({ length: points }, (_, index) => Math.round((units * (index + 1)) / points))
}

function attentionPart({ queryHeads, kvHeads, headDim, hiddenSize }: ModelShape, groups: number, context: number) {
  const heads = queryHeads / kvHeads
  const [queries, keys] = [groups * heads * headDim, groups * headDim]
  const add: AddPart = (graph, x, hidden) => {
    const project = (from: string, rows: number, columns: number) =>
      graph.add('MatMul', [from, addWeight(graph, [rows, columns])])
    const query = graph.add('Reshape', [project(x, hidden, queries), graph.int64([groups, heads, headDim])])
    for (const projected of [project(x, hidden, keys), project(x, hidden, keys)]) {
      graph.addOutput(projected, 'float', [1, keys])
    }
    const scores = graph.add('MatMul', [query, addWeight(graph, [groups, headDim, context])])
    const mixed = graph.add('MatMul', [
      graph.add('Softmax', [scores], { axis: -1 }),
      addWeight(graph, [groups, context, headDim]),
    ])
    return project(graph.add('Reshape', [mixed, graph.int64([1, queries])]), queries, hidden)
  }
  return { bytes: floatBytes * (2 * hiddenSize * (queries + keys) + 2 * keys * context), add }
}

function feedForwardPart({ hiddenSize }: ModelShape, channels: number) {
  const add: AddPart = (graph, x, hidden) => {
    const gate = graph.add('MatMul', [x, addWeight(graph, [hidden, channels])])
    const up = graph.add('MatMul', [x, addWeight(graph, [hidden, channels])])
    const active = graph.add('Mul', [graph.add('Mul', [gate, graph.add('Sigmoid', [gate])]), up])
    return graph.add('MatMul', [active, addWeight(graph, [channels, hidden])])
  }
  return { bytes: floatBytes * 3 * hiddenSize * channels, add }
}

/** Small numbers, none of them denormal; what they are does not matter for the time. */
function addWeight(graph: OnnxGraph, dimensions: readonly number[]): string {
  const length = dimensions.reduce((product, dimension) => product * dimension, 1)
  const numbers = new Float32Array(length)
  for (let index = 0; index < length; index++) numbers[index] = ((index % 7) - 3) / 64
  const name = graph.createName('weight')
  graph.addInitializer(name, 'float', dimensions, new Uint8Array(numbers.buffer))
  return name
}

/** Time of a run of a graph with so many copies of a part, seconds: the lower quartile, which other work disturbs least. */
async function timeGraph(settings: LatencySettings, copies: number, hidden: number, add: AddPart): Promise<number> {
  const graph = new OnnxGraph('latency')
  let value = graph.addInput('x', 'float', [1, hidden])
  for (let copy = 0; copy < copies; copy++) value = add(graph, value, hidden)
  graph.addOutput(graph.add('Identity', [value]), 'float', [1, hidden])
  const session = await createSession(graph.encodeModel({ opset: 21, producer: 'espalier' }), settings)
  const feeds = { x: new Tensor('float32', new Float32Array(hidden).fill(0.1), [1, hidden]) }
  const times: number[] = []
  try {
    for (let run = 0; run < warmUps; run++) await session.run(feeds)
    const first = performance.now()
    while (times.length < fewestRuns || performance.now() - first < leastMs) {
      const started = performance.now()
      await session.run(feeds)
      times.push((performance.now() - started) / 1000)
    }
  } finally {
    await session.release()
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 4)] ?? 0
}
