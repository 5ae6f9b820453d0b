import { readFileSync } from 'node:fs'
import { createPrunableModel, createRandomGenerator, rankUnits } from '@espalier/pruning'
import type { TrainingEvaluation } from './training-set.js'

interface EvaluationsFile {
  readonly importance: readonly (readonly number[])[]
  readonly evaluations: readonly {
    readonly origin: 'dense' | 'probe' | 'random'
    readonly keep: readonly { readonly kvGroups: number; readonly ffnChannels: number }[]
    readonly sparsity: number
    readonly logPerplexity: number
    readonly fidelities: Readonly<Record<string, number>>
  }[]
}

type DemoEvaluation = TrainingEvaluation & { readonly sparsity: number; readonly quarter: number }

/** The bundled model and 617 policies of it, really measured: the dense model, 16 probes, 600 random ones. */
function readDemoEvaluations() {
  const path = new URL('../fixtures/policies-demo.json', import.meta.url)
  const file = JSON.parse(readFileSync(path, 'utf8')) as EvaluationsFile
  const evaluations = file.evaluations.map(
    ({ origin, keep, sparsity, logPerplexity, fidelities }): DemoEvaluation => ({
      purpose: origin,
      kept: keep.flatMap(({ kvGroups, ffnChannels }) => [kvGroups, ffnChannels]),
      sparsity,
      logPerplexity,
      quarter: fidelities['4'] ?? Number.NaN,
    }),
  )
  return {
    model: createModel(8, 3, 512),
    rankings: file.importance.map((importance) => rankUnits(Float64Array.from(importance))),
    initial: evaluations.filter(({ purpose }) => purpose !== 'random'),
    random: evaluations.filter(({ purpose }) => purpose === 'random'),
  }
}

/** `size` evaluations to learn from, dense model and probes among them, and 180 others to be judged on. */
export function drawDemoEvaluations(size: number, draw: number) {
  const { model, rankings, initial, random } = readDemoEvaluations()
  const shuffled = createRandomGenerator(draw, 'demo').shuffle([...random])
  return {
    options: {
      model,
      rankings,
      evaluations: [...initial, ...shuffled.slice(180, 180 + size - initial.length)],
      seed: 1,
    },
    heldOut: shuffled.slice(0, 180),
  }
}

export function createModel(layers: number, kvHeads: number, ffnChannels: number) {
  return createPrunableModel({
    architecture: 'llama',
    layers,
    hiddenSize: 192,
    queryHeads: 2 * kvHeads,
    kvHeads,
    headDim: 32,
    ffnChannels,
    vocabularySize: 1000,
    maxPositions: 1024,
    slidingWindow: null,
    tiedEmbeddings: true,
    attentionBiasConfigurable: true,
    mlpBiasConfigurable: true,
    parameters: 1_000_000,
    weightBytes: 4_000_000,
  })
}
