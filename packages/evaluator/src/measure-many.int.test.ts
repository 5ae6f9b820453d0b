/** What policies measured together share must change no number: each is compared with the policy measured alone. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { compensations, type ModelShape, type Precision } from '@espalier/contracts'
import { openModel } from '@espalier/model-graph'
import type { KeptIndices } from '@espalier/pruning'
import { afterAll, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { createEvaluator } from './create-evaluator.js'
import type { Evaluator } from './evaluator.js'

const fixtures = fileURLToPath(new URL('../../model-graph/fixtures', import.meta.url))
const evaluators: Evaluator[] = []
afterAll(async () => {
  await Promise.all(evaluators.map((evaluator) => evaluator.close()))
})

interface TinyReference {
  readonly windowLength: number
  readonly ids: number[]
  readonly calibrationIds: number[]
}

async function openFixture(name: string, precision: Precision = 'fp32') {
  const directory = `${fixtures}/models/${name}`
  const reference: TinyReference = JSON.parse(readFileSync(`${fixtures}/reference/${name}.json`, 'utf8'))
  const { windowLength } = reference
  const evaluator = await createEvaluator({ modelDirectory: directory, precision, threads: 1, batchWindows: 2 })
  evaluators.push(evaluator)
  const windowed = (ids: readonly number[]) => ({
    ids: Int32Array.from(ids),
    windowLength,
    windows: Math.floor(ids.length / windowLength),
  })
  const calibration = await evaluator.calibrate({ ...windowed(reference.calibrationIds), gram: true })
  return { evaluator, shape: (await openModel(directory)).shape, tokens: windowed(reference.ids), calibration }
}

/** Policies of which each goes its own way from some module of an earlier one on; modules may keep nothing. */
function relatedPolicies(shape: ModelShape): fc.Arbitrary<KeptIndices[]> {
  const modules = 2 * shape.layers
  const units = (module: number) => (module % 2 === 0 ? shape.kvHeads : shape.ffnChannels)
  const all = (module: number) => Array.from({ length: units(module) }, (_, unit) => unit)
  const kept = (module: number) => fc.oneof(fc.constant(all(module)), fc.constant([]), fc.subarray(all(module)))
  const policy = fc.tuple(...Array.from({ length: modules }, (_, module) => kept(module)))
  const branch = fc.record({ policy, from: fc.nat(), shared: fc.integer({ min: 0, max: modules }) })
  return fc.array(branch, { minLength: 2, maxLength: 6 }).map((branches) => {
    const policies: KeptIndices[] = []
    for (const { policy: own, from, shared } of branches) {
      const parent = policies[from % Math.max(1, policies.length)] ?? own
      policies.push([...parent.slice(0, shared), ...own.slice(shared)])
    }
    return policies
  })
}

it.each(['llama-gqa', 'llama-biases', 'mistral-window', 'qwen3', 'phi3', 'gemma2-caps', 'gemma3'])(
  'gives every policy of %s the likelihoods that it has alone, to the bit',
  async (name) => {
    const { evaluator, shape, tokens, calibration } = await openFixture(name)
    const group = fc.record({ policies: relatedPolicies(shape), compensation: fc.constantFrom(...compensations) })
    await fc.assert(
      fc.asyncProperty(group, async ({ policies, compensation }) => {
        const request = { ...tokens, calibration, compensation }
        const together = await evaluator.measureMany({ ...request, policies })
        for (const [index, keptIndices] of policies.entries()) {
          const alone = await evaluator.measure({ ...request, keptIndices })
          expect(together[index]?.nll).toEqual(alone.nll)
        }
      }),
      { numRuns: 8, seed: 7 },
    )
  },
)

it('does so in fp16 too', async () => {
  const { evaluator, shape, tokens, calibration } = await openFixture('gemma2-caps', 'fp16')
  const first = Array.from({ length: 2 * shape.layers }, (_, module) => (module % 2 === 0 ? [0] : [1, 3, 5]))
  const second = [...first.slice(0, -1), [2]]
  const together = await evaluator.measureMany({ ...tokens, calibration, policies: [first, second] })
  for (const [index, keptIndices] of [first, second].entries()) {
    const alone = await evaluator.measure({ ...tokens, calibration, keptIndices })
    expect(together[index]?.nll).toEqual(alone.nll)
  }
})
