import { drawMaskImage, IMAGE_CHANNELS, IMAGE_WIDTH } from './mask-image.js'
import {
  DENSE_UNITS,
  FIRST_CHANNELS,
  LAST_WIDTH,
  SECOND_CHANNELS,
  SECOND_WIDTH,
  weightLayout,
} from './network-shape.js'

/** A network without TensorFlow.js, one policy at a time: some 50 to 100 microseconds at 16 modules. */
export function createNetworkEvaluator(units: readonly number[], weights: Float32Array) {
  const layers = units.length / 2
  const { parts } = weightLayout(layers)
  const [first, second, third, last] = parts
  if (!first || !second || !third || !last) throw new Error('The network has four layers of weights')
  const values = Float64Array.from(weights)
  const image = new Float64Array(layers * IMAGE_WIDTH * IMAGE_CHANNELS)
  const firstCells = new Float64Array(layers * IMAGE_WIDTH * FIRST_CHANNELS)
  const pooled = new Float64Array(layers * SECOND_WIDTH * FIRST_CHANNELS)
  const secondCells = new Float64Array(layers * SECOND_WIDTH * SECOND_CHANNELS)
  const features = new Float64Array(layers * LAST_WIDTH * SECOND_CHANNELS)
  const hidden = new Float64Array(DENSE_UNITS)
  const output = new Float64Array(1)
  /** Standardised t of a policy. */
  return (kept: ArrayLike<number>): number => {
    drawMaskImage(units, kept, image)
    convolve(values, first, image, firstCells, { rows: layers, columns: IMAGE_WIDTH, channels: IMAGE_CHANNELS })
    meanOfPairs(firstCells, pooled, FIRST_CHANNELS)
    convolve(values, second, pooled, secondCells, { rows: layers, columns: SECOND_WIDTH, channels: FIRST_CHANNELS })
    meanOfPairs(secondCells, features, SECOND_CHANNELS)
    multiply(values, third, features, 0, third.inputs, hidden, 0, 0)
    applyElu(hidden)
    multiply(values, last, hidden, 0, last.inputs, output, 0, 0)
    return output[0] ?? Number.NaN
  }
}

interface Part {
  readonly inputs: number
  readonly outputs: number
  readonly weights: number
  readonly biases: number
}

interface GridShape {
  readonly rows: number
  readonly columns: number
  readonly channels: number
}

/** 3x3 with zeros outside, then ELU; [rows, columns, channels] -> [rows, columns, outputs]. */
function convolve(values: Float64Array, part: Part, input: Float64Array, cells: Float64Array, grid: GridShape): void {
  const { rows, columns, channels } = grid
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const out = (row * columns + column) * part.outputs
      for (let o = 0; o < part.outputs; o++) cells[out + o] = values[part.biases + o] ?? 0
      // Three neighbours of one row lie side by side, both in the image and in the weights.
      const from = Math.max(column - 1, 0)
      const until = Math.min(column + 2, columns)
      for (let r = Math.max(row - 1, 0); r < Math.min(row + 2, rows); r++) {
        const tap = ((r - row + 1) * 3 + (from - column + 1)) * channels
        const length = (until - from) * channels
        accumulate(values, part, tap, input, (r * columns + from) * channels, length, cells, out)
      }
    }
  }
  applyElu(cells)
}

/** out += x W + b */
function multiply(
  values: Float64Array,
  part: Part,
  input: Float64Array,
  start: number,
  length: number,
  output: Float64Array,
  out: number,
  row: number,
): void {
  for (let o = 0; o < part.outputs; o++) output[out + o] = values[part.biases + o] ?? 0
  accumulate(values, part, row, input, start, length, output, out)
}

/** output[out..] += input[start..start + length] times rows `row..` of the weights. */
function accumulate(
  values: Float64Array,
  { weights, outputs }: Part,
  row: number,
  input: Float64Array,
  start: number,
  length: number,
  output: Float64Array,
  out: number,
): void {
  for (let i = 0; i < length; i++) {
    const x = input[start + i] ?? 0
    const at = weights + (row + i) * outputs
    for (let o = 0; o < outputs; o++) output[out + o] = (output[out + o] ?? 0) + x * (values[at + o] ?? 0)
  }
}

function meanOfPairs(cells: Float64Array, pooled: Float64Array, channels: number): void {
  for (let i = 0; i < pooled.length; i++) {
    const at = 2 * (i - (i % channels)) + (i % channels)
    pooled[i] = ((cells[at] ?? 0) + (cells[at + channels] ?? 0)) / 2
  }
}

function applyElu(values: Float64Array): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0
    if (value < 0) values[i] = Math.expm1(value)
  }
}
