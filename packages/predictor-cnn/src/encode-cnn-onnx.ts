import { addPredictionOutputs } from '@espalier/predictor'
import { OnnxGraph } from '@espalier/tensor-files'
import type { CnnState } from './cnn-state.js'
import { IMAGE_CHANNELS, IMAGE_WIDTH } from './mask-image.js'
import { weightLayout } from './network-shape.js'

/**
 * The CNN predictor as an ONNX model, opset 17: `kept` int64 [N, modules] -> `logPerplexity`, `low`, `high` float [N].
 * Images are drawn inside; the networks, with the formulas of `network-shape.ts`, are averaged.
 */
export function encodeCnnOnnx(state: CnnState): Uint8Array {
  const graph = new OnnxGraph('espalier_cnn_predictor')
  const image = addImage(graph, state.units)
  const outputs = state.networks.map((weights, index) =>
    addNetwork(graph, state.units.length / 2, weights, image, index),
  )
  const mean = graph.add('Mean', outputs) // [N, 1]
  const spread = graph.add('Mul', [mean, graph.float(state.targetDeviation)])
  addPredictionOutputs(graph, state, graph.add('Add', [spread, graph.float(state.targetMean)]))
  return graph.encodeModel({ opset: 17, producer: 'espalier', irVersion: 8 })
}

/** `drawMaskImage` as [N, channels, layers, width], the order of ONNX's convolutions. */
function addImage(graph: OnnxGraph, units: readonly number[]): string {
  const kept = graph.add('Cast', [graph.addInput('kept', 'int64', ['N', units.length])], { to: { type: 'float' } })
  const filled = graph.add('Mul', [kept, graph.float(Float32Array.from(units, (count) => IMAGE_WIDTH / count))])
  const grid = graph.add('Reshape', [filled, graph.int64([-1, units.length / 2, IMAGE_CHANNELS, 1])])
  const columns = graph.float(Float32Array.from({ length: IMAGE_WIDTH }, (_, cell) => cell))
  const cells = graph.add('Clip', [graph.add('Sub', [grid, columns]), graph.float(0), graph.float(1)])
  const signed = graph.add('Sub', [graph.add('Mul', [cells, graph.float(2)]), graph.float(1)]) // [N, L, 2, 16]
  return graph.add('Transpose', [signed], { perm: [0, 2, 1, 3] })
}

/** Standardised t of one network, [N, 1]. */
function addNetwork(graph: OnnxGraph, layers: number, values: Float32Array, image: string, index: number): string {
  const [first, second, third, last] = weightLayout(layers).parts.map(({ inputs, outputs, weights, biases }, layer) => {
    const name = `network${index}_layer${layer}`
    const matrix = values.slice(weights, biases)
    const isConvolution = layer < 2
    const channels = inputs / 9
    return {
      weights: isConvolution
        ? graph.addInitializer(name, 'float', [outputs, channels, 3, 3], bytesOf(toKernel(matrix, channels, outputs)))
        : graph.addInitializer(name, 'float', [inputs, outputs], bytesOf(matrix)),
      biases: graph.addInitializer(
        `${name}_biases`,
        'float',
        [outputs],
        bytesOf(values.slice(biases, biases + outputs)),
      ),
    }
  })
  if (!first || !second || !third || !last) throw new Error('The network has four layers of weights')
  const convolve = (input: string, part: typeof first) => {
    const cells = graph.add('Conv', [input, part.weights, part.biases], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] })
    return graph.add('AveragePool', [graph.add('Elu', [cells])], { kernel_shape: [1, 2], strides: [1, 2] })
  }
  const cells = convolve(convolve(image, first), second) // [N, 16, L, 4]
  const features = graph.add('Flatten', [graph.add('Transpose', [cells], { perm: [0, 2, 3, 1] })], { axis: 1 })
  const hidden = graph.add('Elu', [graph.add('Gemm', [features, third.weights, third.biases])])
  return graph.add('Gemm', [hidden, last.weights, last.biases])
}

/** [3 rows, 3 columns, channels, outputs] -> [outputs, channels, 3, 3] */
function toKernel(matrix: Float32Array, channels: number, outputs: number): Float32Array {
  const kernel = new Float32Array(matrix.length)
  matrix.forEach((value, at) => {
    const output = at % outputs
    const channel = Math.floor(at / outputs) % channels
    const tap = Math.floor(at / (outputs * channels))
    kernel[(output * channels + channel) * 9 + tap] = value
  })
  return kernel
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
