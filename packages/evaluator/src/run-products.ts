import { OnnxGraph } from '@espalier/tensor-files'
import { Tensor } from 'onnxruntime-node'
import { createSession } from './create-session.js'

/** Large enough to be bound by arithmetic, small enough to take a moment: 4 GFLOP. */
const side = 1280
const repeats = 8

/** Float32 products in a session of their own: FLOP/s of the fastest. */
export async function runProducts(threads: number): Promise<number> {
  const graph = new OnnxGraph('product')
  const numbers = () => Float32Array.from({ length: side * side }, (_, index) => (index % 7) - 3)
  graph.addInput('x', 'float', [side, side])
  graph.addInitializer('weight', 'float', [side, side], new Uint8Array(numbers().buffer))
  graph.addOutput(graph.add('MatMul', ['x', 'weight']), 'float', [side, side])
  const bytes = graph.encodeModel({ opset: 21, producer: 'espalier' })
  const session = await createSession(bytes, { threads, provider: 'cpu' })
  const feeds = { x: new Tensor('float32', numbers(), [side, side]) }
  let fastest = Number.POSITIVE_INFINITY
  try {
    for (let repeat = 0; repeat < repeats; repeat++) {
      const started = performance.now()
      await session.run(feeds)
      fastest = Math.min(fastest, (performance.now() - started) / 1000)
    }
  } finally {
    await session.release()
  }
  return (2 * side ** 3) / fastest
}
