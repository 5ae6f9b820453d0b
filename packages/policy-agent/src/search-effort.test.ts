import { uniformPolicy } from '@espalier/pruning'
import { expect, it } from '@jest/globals'
import { proposePolicies } from './propose-policies.js'
import { demoModel } from './prunable-models.test-support.js'

/** Of the CNN predictor at 16 modules. */
const CNN_MULTIPLICATIONS = 434_304

it('a predictor that is slow to ask is asked far less often, and still helps', async () => {
  const { modules } = demoModel
  const damage = (kept: readonly number[]) =>
    modules.reduce((sum, { index, units }) => sum + (1 - (kept[index] ?? 0) / units) ** 2 / (1 + index), 0)
  const propose = async (scoreMultiplications?: number) => {
    let scores = 0
    const score = (kept: readonly number[]) => {
      scores++
      return damage(kept)
    }
    const task = { model: demoModel, targets: [0.4], count: 3, incumbents: [[]], seed: 1, round: 1 }
    const cost = scoreMultiplications === undefined ? {} : { scoreMultiplications }
    const predictor = { createScorer: () => score, ...cost }
    const { targets } = await proposePolicies({ ...task, agent: 'network', predictor })
    return { scores, best: Math.min(...(targets[0]?.policies ?? []).map(({ keptUnits }) => damage(keptUnits))) }
  }
  const often = await propose()
  const rarely = await propose(CNN_MULTIPLICATIONS)
  expect(rarely.scores).toBeLessThan(often.scores / 8)
  expect(rarely.best).toBeLessThan(1.05 * often.best)
  expect(rarely.best).toBeLessThan(0.7 * damage(uniformPolicy(demoModel, 0.4)))
})
