import { readFileSync } from 'node:fs'
import { describe, expect, it } from '@jest/globals'
import { OnnxGraph } from './onnx-graph.js'

describe('OnnxGraph', () => {
  /** fixtures/graph.onnx is what the Python package onnx writes for this model (bench/reference/onnx_graph.py). */
  it('writes the bytes that onnx itself writes', () => {
    const graph = new OnnxGraph('golden')
    graph.addInput('x', 'float', ['batch', 3])
    graph.addInput('flag', 'bool', [])
    graph.addInitializer('w', 'bfloat16', [2, 3], { location: 'model.safetensors', offset: 2 ** 32 + 8, bytes: 12 })
    graph.addNode({
      operator: 'SkipSimplifiedLayerNormalization',
      domain: 'com.microsoft',
      inputs: ['x', '', 'w'],
      outputs: ['a', '', 's'],
      attributes: { epsilon: { float: 1e-5 } },
    })
    const present = graph.createSubgraph('present')
    present.addOutput(present.add('ReduceMean', ['a'], { axes: [-1], keepdims: 1 }), 'float', ['batch', 1])
    const absent = graph.createSubgraph('absent')
    absent.addOutput(absent.add('Cast', ['s'], { to: { type: 'float' } }), 'float', ['batch', 1])
    graph.addNode({
      operator: 'If',
      inputs: ['flag'],
      outputs: ['y'],
      attributes: { else_branch: { graph: absent }, then_branch: { graph: present } },
    })
    const diagonal = graph.add('Einsum', ['y', 'y'], { equation: 'ij,ij->i' })
    graph.addOutput(graph.add('Reshape', [diagonal, graph.int64([2, -1])]), 'float', [2, 'rest'], 'z')
    const bytes = graph.encodeModel({
      opset: 21,
      domains: { 'com.microsoft': 1 },
      producer: 'espalier',
      metadata: { source: 'test' },
    })
    const expected = readFileSync(new URL('../fixtures/graph.onnx', import.meta.url))
    expect(Buffer.from(bytes).toString('latin1')).toBe(expected.toString('latin1'))
  })

  it('stores equal constants once, and scalars apart from vectors', () => {
    const graph = new OnnxGraph('constants')
    expect(graph.int64([1, 2])).toBe(graph.int64([1, 2]))
    expect(graph.float(1)).toBe(graph.float(1))
    expect(graph.int64(1)).not.toBe(graph.int64([1]))
    expect(graph.float(0)).not.toBe(graph.float(-0))
  })
})
