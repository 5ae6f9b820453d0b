import { execFileSync } from 'node:child_process'
import { proposeResultSchema } from '@espalier/contracts'
import {
  checkKeptUnits,
  createRandomGenerator,
  type PrunableModel,
  projectToSparsity,
  randomPolicy,
  sparsityOf,
  uniformPolicy,
} from '@espalier/pruning'
import { loadTensorBackend } from '@espalier/tensor-backend'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { createPolicySpace } from './policy-space.js'
import { type ProposeTask, proposePolicies } from './propose-policies.js'
import { demoModel, modelsAndTargets } from './prunable-models.test-support.js'
import { planEffort } from './search-effort.js'

/** Enough where the quality of the proposals is not the question. */
const effort = {
  ...planEffort(16),
  trainingSteps: 30,
  crossEntropySteps: 3,
  evolutionScores: 3000,
  spreadScores: 3000,
  noveltyScores: 1500,
  front: { ...planEffort(16).front, steps: 100, anchorScores: 200 },
}
const targets = [0.2, 0.35, 0.5]
const baseTask = {
  model: demoModel,
  targets,
  count: 24,
  incumbents: [],
  seed: 1,
  round: 1,
} satisfies Partial<ProposeTask>

/** A world with a known optimum: the rise of log-perplexity is a sum over modules of s_m (share removed)^g_m. */
function createSeparableDamage(model: PrunableModel, seed: number) {
  const random = createRandomGenerator(seed, 'damage')
  const tables = model.modules.map(({ units, kind }) => {
    const scale = Math.exp(1.2 * random.normal()) * (kind === 'attention' ? 0.05 : 0.15)
    const exponent = 0.8 + 2 * random.uniform()
    return Float64Array.from({ length: units + 1 }, (_, kept) => scale * ((units - kept) / units) ** exponent)
  })
  const damage = (kept: readonly number[]) =>
    kept.reduce((sum, count, m) => sum + (tables[m]?.[count] ?? Number.NaN), 0)
  return { tables, damage, createScorer: () => (kept: readonly number[]) => 3 + damage(kept) }
}

/** Least damage with exactly n units of one kind kept, for all n: dynamic programming over layers. */
function leastDamageByUnits(tables: readonly Float64Array[], minimum: number): Float64Array {
  return tables.reduce((best, table) => {
    const next = new Float64Array(best.length + table.length - 1).fill(Number.POSITIVE_INFINITY)
    best.forEach((damage, units) => {
      for (let kept = minimum; kept < table.length; kept++) {
        const sum = damage + (table[kept] ?? 0)
        if (sum < (next[units + kept] ?? 0)) next[units + kept] = sum
      }
    })
    return next
  }, new Float64Array(1))
}

function optimalDamage(model: PrunableModel, tables: readonly Float64Array[], target: number): number {
  const ofGroups = leastDamageByUnits(
    tables.filter((_, m) => m % 2 === 0),
    0,
  )
  const ofChannels = leastDamageByUnits(
    tables.filter((_, m) => m % 2 === 1),
    1,
  )
  const [group, channel] = model.modules.map((module) => module.parametersPerUnit)
  const needed = model.prunableParameters - Math.floor(model.prunableParameters * target + 1e-6)
  return [...ofGroups].reduce((best, damage, groups) => {
    const channels = Math.ceil((needed - groups * (group ?? 0)) / (channel ?? 1))
    return channels < 0 ? best : Math.min(best, damage + (ofChannels[channels] ?? Number.POSITIVE_INFINITY))
  }, Number.POSITIVE_INFINITY)
}

function expectValid(
  model: PrunableModel,
  target: number,
  policies: readonly { keptUnits: readonly number[] }[],
): void {
  for (const { keptUnits } of policies) {
    checkKeptUnits(model, keptUnits)
    const sparsity = sparsityOf(model, keptUnits)
    expect(sparsity).toBeLessThanOrEqual(target + 1e-12)
    expect(sparsity).toBeGreaterThan(
      target - (model.modules[1]?.parametersPerUnit ?? 0) / model.prunableParameters - 1e-9,
    )
    expect(projectToSparsity(model, keptUnits, target)).toEqual(keptUnits)
  }
  expect(new Set(policies.map(({ keptUnits }) => keptUnits.join())).size).toBe(policies.length)
}

describe('proposePolicies with the network', () => {
  it.each([1, 2])('finds the optimum of a known damage within 0.5 %% (world %i)', async (seed) => {
    const world = createSeparableDamage(demoModel, seed)
    const proposal = await proposePolicies({ ...baseTask, agent: 'network', predictor: world })
    proposal.targets.forEach(({ policies }, index) => {
      const optimum = optimalDamage(demoModel, world.tables, targets[index] ?? 0)
      const damages = policies.map(({ keptUnits }) => world.damage(keptUnits))
      expect(damages[0]).toBeGreaterThan(optimum * (1 - 1e-9))
      expect(damages[0]).toBeLessThan(optimum * 1.005)
      expect(damages).toEqual([...damages].sort((a, b) => a - b))
      expect(policies).toHaveLength(24)
      expectValid(demoModel, targets[index] ?? 0, policies)
    })
  })

  it('gives what the contract of a propose step says, from a real backend', async () => {
    const world = createSeparableDamage(demoModel, 1)
    const {
      checkpoint,
      front: _,
      ...result
    } = await proposePolicies({ ...baseTask, effort, agent: 'network', predictor: world })
    expect(proposeResultSchema.parse({ ...result, seconds: 1 })).toEqual({ ...result, seconds: 1 })
    expect(['wasm', 'tensorflow']).toContain(result.backend)
    expect(checkpoint?.modules).toBe(16)
  })

  it('keeps proposals apart from each other and never proposes what was measured', async () => {
    const world = createSeparableDamage(demoModel, 4)
    const first = await proposePolicies({ ...baseTask, effort, agent: 'network', predictor: world })
    const incumbents = first.targets.map(({ policies }) => policies.slice(0, 3).map(({ keptUnits }) => keptUnits))
    const second = await proposePolicies({
      ...baseTask,
      effort,
      agent: 'network',
      predictor: world,
      incumbents,
      round: 2,
    })
    second.targets.forEach(({ policies }, index) => {
      const space = createPolicySpace(demoModel, targets[index] ?? 0)
      policies.forEach(({ keptUnits }, p) => {
        for (const incumbent of incumbents[index] ?? []) expect(keptUnits).not.toEqual(incumbent)
        for (const other of policies.slice(0, p)) {
          expect(space.distance(keptUnits, other.keptUnits)).toBeGreaterThanOrEqual(0.02)
        }
      })
      // two thirds of the modules are computed once for all of them
      const prefixes = policies.map(({ keptUnits }) => keptUnits.slice(0, 10).join())
      expect(new Set(prefixes).size).toBe(1)
    })
  })

  it.each(['explores', 'drifted'])(
    'proposes away from everything measured when it explores, and near the optimum else (%s)',
    async (reason) => {
      const world = createSeparableDamage(demoModel, 4)
      const propose = async (round: number, incumbents: number[][][], exploring = false) => {
        const task = { ...baseTask, effort, agent: 'network' as const, predictor: world }
        const proposal = await proposePolicies({ ...task, incumbents, round, [reason]: exploring })
        return proposal.targets.map(({ policies }) => policies.map(({ keptUnits }) => keptUnits))
      }
      const measured = (await propose(1, [])).map((policies) => policies.slice(0, 12))
      const [exploring, exploiting] = [await propose(2, measured, true), await propose(2, measured)]
      targets.forEach((target, index) => {
        const space = createPolicySpace(demoModel, target)
        const farthest = (policies: number[][] = []) =>
          Math.max(
            ...policies.map((kept) => Math.min(...(measured[index] ?? []).map((other) => space.distance(other, kept)))),
          )
        expect(farthest(exploring[index])).toBeGreaterThanOrEqual(0.04)
        const best = (policies: number[][] = []) => Math.min(...policies.map(world.createScorer()))
        expect(best(exploiting[index])).toBeLessThan(best(exploring[index]))
      })
    },
  )

  describe('with draws', () => {
    const [likely, possible] = [createSeparableDamage(demoModel, 4), createSeparableDamage(demoModel, 5)]
    const predictor = { ...likely, drawScorer: possible.createScorer }
    const task = {
      ...baseTask,
      effort: { ...effort, drawScores: 12_000, allDrawScores: 96_000 },
      agent: 'network' as const,
      predictor,
    }

    it.each([
      { explores: false, drifted: false },
      { explores: true, drifted: false },
      { explores: false, drifted: true },
    ])('adds the best policies of what may be true (%o)', async ({ explores, drifted }) => {
      const first = await proposePolicies({ ...task, count: 4 })
      const incumbents = first.targets.map(({ policies }) => policies.map(({ keptUnits }) => keptUnits))
      const { targets: proposed } = await proposePolicies({
        ...task,
        count: 4,
        draws: 3,
        incumbents,
        explores,
        drifted,
        round: 2,
      })
      const roams = explores || drifted
      proposed.forEach(({ policies }, index) => {
        const target = targets[index] ?? 0
        expect(policies.map(({ drawn }) => drawn ?? false)).toEqual([false, false, false, false, true, true, true])
        expectValid(demoModel, target, policies)
        const kept = policies.map(({ keptUnits }) => keptUnits)
        for (const incumbent of incumbents[index] ?? []) expect(kept).not.toContainEqual(incumbent)
        const [best, leader, follower, next] = [0, 4, 5, 6].map((place) => kept[place] ?? [])
        expect(follower?.slice(0, 10)).toEqual(leader?.slice(0, 10))
        const optimum = optimalDamage(demoModel, possible.tables, target)
        if (!roams) expect(leader?.slice(0, 5)).toEqual(best?.slice(0, 5))
        for (const free of roams ? [leader, next] : [next]) {
          expect(possible.damage(free ?? [])).toBeLessThan(1.05 * optimum)
        }
        expect(possible.damage(leader ?? [])).toBeLessThan(possible.damage(best ?? []))
      })
    })

    it('goes by the mean instead where the predictor has no posterior', async () => {
      const { targets: proposed } = await proposePolicies({ ...task, predictor: likely, count: 4, draws: 3 })
      for (const { policies } of proposed) {
        expect(policies).toHaveLength(16)
        for (const { drawn } of policies) expect(drawn).toBeUndefined()
      }
    })
  })

  it('gives the same policies for the same seed, in this process and in another', async () => {
    const damage = (kept: readonly number[]) =>
      kept.reduce((sum, k, m) => sum + (1 + (m % 5)) / (1 + k * (m % 2 ? 1 : 90)), 0)
    const task = { ...baseTask, effort, agent: 'network' as const, count: 8, predictor: { createScorer: () => damage } }
    const here = await proposePolicies(task)
    const script = `
      const { proposePolicies } = await import(${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)})
      const damage = (kept) => kept.reduce((sum, k, m) => sum + (1 + (m % 5)) / (1 + k * (m % 2 ? 1 : 90)), 0)
      const task = { ...JSON.parse(process.argv[1]), predictor: { createScorer: () => damage } }
      process.stdout.write(JSON.stringify(await proposePolicies(task)))`
    const argv = ['--input-type=module', '-e', script, JSON.stringify(task)]
    const there = execFileSync(process.execPath, argv, { env: { ...process.env, NODE_OPTIONS: '' }, encoding: 'utf8' })
    expect(JSON.parse(there)).toEqual(JSON.parse(JSON.stringify(here)))
    expect(await proposePolicies({ ...task, seed: 2 })).not.toEqual(here)
  })

  it('starts from the network of the round before, and leaves no tensor behind', async () => {
    const { tf } = await loadTensorBackend()
    const world = createSeparableDamage(demoModel, 5)
    const first = await proposePolicies({ ...baseTask, effort, agent: 'network', predictor: world })
    const tensors = tf.memory().numTensors
    const task = {
      ...baseTask,
      effort,
      agent: 'network' as const,
      predictor: world,
      checkpoint: first.checkpoint,
      round: 2,
    }
    const second = await proposePolicies(task)
    expect(second.checkpoint?.weights).not.toEqual(first.checkpoint?.weights)
    expect(tf.memory().numTensors).toBe(tensors)
  })

  it('proposes valid distinct policies for any model, and fewer where there are no more', async () => {
    await fc.assert(
      fc.asyncProperty(
        modelsAndTargets,
        fc.integer({ min: 1, max: 12 }),
        fc.nat(),
        async ({ model, target }, count, seed) => {
          const predictor = createSeparableDamage(model, seed)
          const task = {
            ...baseTask,
            effort,
            agent: 'network' as const,
            model,
            predictor,
            targets: [target],
            count,
            seed,
          }
          const policies = (await proposePolicies(task)).targets[0]?.policies ?? []
          expectValid(model, target, policies)
          expect(policies.length).toBeGreaterThan(0)
          expect(policies.length).toBeLessThanOrEqual(count)
          const drawn = createRandomGenerator(seed)
          const known = new Set(Array.from({ length: 400 }, () => randomPolicy(model, target, drawn).join()))
          if (known.size >= 4 * count) expect(policies).toHaveLength(count)
        },
      ),
      { numRuns: 15 },
    )
  })

  it('needs a predictor', async () => {
    await expect(proposePolicies({ ...baseTask, effort, agent: 'network', predictor: null })).rejects.toThrow(
      /needs a trained predictor/,
    )
  })
})

describe('proposePolicies without the network', () => {
  it('uniform gives the uniform policy of each target', async () => {
    const proposal = await proposePolicies({ ...baseTask, agent: 'uniform', predictor: null })
    expect(proposal.targets).toEqual(
      targets.map((target) => ({ policies: [{ keptUnits: uniformPolicy(demoModel, target), origin: 'uniform' }] })),
    )
  })

  it('random gives new valid policies each round, at any sparsity of any model', async () => {
    await fc.assert(
      fc.asyncProperty(modelsAndTargets, fc.nat(), async ({ model, target }, seed) => {
        const task = {
          ...baseTask,
          agent: 'random' as const,
          predictor: null,
          model,
          targets: [target],
          count: 10,
          seed,
        }
        const policies = (await proposePolicies(task)).targets[0]?.policies ?? []
        expectValid(model, target, policies)
        const again = (await proposePolicies(task)).targets[0]?.policies ?? []
        expect(again).toEqual(policies)
      }),
    )
    const task = { ...baseTask, agent: 'random' as const, predictor: null }
    const [first, second] = [await proposePolicies(task), await proposePolicies({ ...task, round: 2 })]
    first.targets.forEach(({ policies }, index) => {
      expect(policies).toHaveLength(24)
      const later = second.targets[index]?.policies.map(({ keptUnits }) => keptUnits.join()) ?? []
      for (const { keptUnits } of policies) expect(later).not.toContain(keptUnits.join())
    })
  })
})
