import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { expect, it } from '@jest/globals'
import { buildCalibrationGraph } from './build-calibration-graph.js'
import { buildCompactGraph } from './build-compact-graph.js'
import { buildEvaluationGraph } from './build-evaluation-graph.js'
import { locateInModel } from './build-weights.js'
import { openModel } from './open-model.js'

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/models/${name}`, import.meta.url))

/**
 * What other architectures need must cost Llama nothing: its graphs stay as they are, to the byte. A change that is
 * meant to change them puts the new hashes here.
 */
it.each([
  ['llama-biases', { evaluation: '15fb1ba1d67949db', calibration: 'bcbbb4cf70220977', compact: 'cff89c6d14e8e7bc' }],
  ['llama-gqa', { evaluation: '560ba95c73f36845', calibration: '9b17e115a413d62e', compact: '079541d65f72c573' }],
])('builds the same graphs of %s as ever', async (name, expected) => {
  const model = await openModel(fixture(name))
  const kept = model.layers.flatMap((_, layer) => (layer === 1 ? [0, 1] : [1, 1]))
  const compensation = kept.map(() => null)
  const hash = (graph: Uint8Array) => createHash('sha256').update(graph).digest('hex').slice(0, 16)
  expect({
    evaluation: hash(buildEvaluationGraph(model)),
    calibration: hash(buildCalibrationGraph(model)),
    compact: hash(buildCompactGraph(model, { kept, locate: locateInModel, compensation })),
  }).toEqual(expected)
})
