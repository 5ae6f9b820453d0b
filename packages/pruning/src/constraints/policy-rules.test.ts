import { EspalierError, type ModelShape } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { modelShape } from '../model-shape.test-support.js'
import { createPrunableModel } from '../prunable-model.js'
import { createRandomGenerator } from '../random-generator.js'
import { randomPolicy } from '../random-policy.js'
import { uniformPolicy } from '../uniform-policy.js'
import { anyConstraints, anyLatencies, anyShape, anyTarget, brokenBy } from './any-constraints.test-support.js'
import { checkPolicyRules, createPolicyRules, type RuleSettings } from './policy-rules.js'

const anyCase = (small = false) =>
  anyShape(small).chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      constraints: anyConstraints(shape),
      target: anyTarget(),
      latencies: anyLatencies(shape),
      seed: fc.nat(),
    }),
  )

/** The rules, or the error with which they were refused. */
function compile(...[shape, settings, latencies]: Parameters<typeof createPolicyRules>) {
  try {
    return createPolicyRules(shape, settings, latencies)
  } catch (error) {
    if (error instanceof EspalierError && error.code === 'CONSTRAINTS_CONTRADICTORY') return error
    throw error
  }
}

/** Every policy of a small model. */
function* allPolicies(shape: ModelShape, kept: readonly number[] = []): Generator<readonly number[]> {
  if (kept.length === 2 * shape.layers) return yield kept
  const units = kept.length % 2 === 0 ? shape.kvHeads : shape.ffnChannels
  for (let count = 0; count <= units; count++) yield* allPolicies(shape, [...kept, count])
}

/** `{a: [x, y]}` without `/constraints/a/0` is `{a: [y]}`; a removed target becomes one that everything fulfils. */
function without(settings: RuleSettings, path: string): RuleSettings {
  const [, part, name = '', index, field] = path.split('/')
  if (part === 'targets') return { ...settings, targets: [{ resource: 'parameters', ratio: 1 }] }
  const constraints: Record<string, unknown> = { ...settings.constraints }
  const list = constraints[name]
  constraints[name] = Array.isArray(list)
    ? list.map((item, i) => (String(i) === index ? withoutField(item, field) : item))
    : undefined
  return { ...settings, constraints }
}

function withoutField(item: unknown, field: string | undefined): unknown {
  return field === undefined || typeof item !== 'object' ? null : { ...item, [field]: undefined }
}

/** Drops what `without` left empty; indices stand until then. */
function compact(settings: RuleSettings): RuleSettings {
  const entries = Object.entries(settings.constraints ?? {}).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.filter((item) => item !== null) : value,
  ])
  return { ...settings, constraints: Object.fromEntries(entries) }
}

describe('createPolicyRules', () => {
  it('gives only policies that fulfil every constraint, and that could keep no unit more', () => {
    let allowed = 0
    fc.assert(
      fc.property(anyCase(), ({ shape, constraints, target, latencies, seed }) => {
        const rules = compile(shape, { targets: [target], constraints }, latencies)
        const found = rules instanceof EspalierError ? undefined : rules.targets[0]
        if (!found) return
        allowed++
        const random = createRandomGenerator(seed)
        const wishes = found.uniform().map(() => 300 * random.normal())
        const repaired = found.uniform().map(() => random.integer(400) - 50)
        found.allowed?.repair(repaired, random)
        const policies = [
          found.uniform(),
          found.random(random),
          found.project(wishes),
          ...(found.allowed ? [repaired] : []),
        ]
        for (const kept of policies) {
          if (found.allowed === null) continue
          expect(brokenBy(kept, shape, constraints, target, latencies)).toEqual([])
          expect(found.allowed.has(kept)).toBe(true)
          expect(found.project(kept)).toEqual(kept)
          kept.forEach((count, m) => {
            const more = found.allowed?.domains[m]
            if (!more || count === more.highest) return
            const next = Math.min(more.highest, (Math.floor(count / more.multiple) + 1) * more.multiple)
            expect(found.allowed?.has(kept.with(m, next))).toBe(false)
          })
        }
      }),
      { numRuns: 500 },
    )
    expect(allowed).toBeGreaterThan(100)
  })

  it('repairs the last modules alone into a policy as full as any, or says that this cannot be', () => {
    let repaired = 0
    fc.assert(
      fc.property(anyCase(), ({ shape, constraints, target, latencies, seed }) => {
        const rules = compile(shape, { targets: [target], constraints }, latencies)
        const allowed = rules instanceof EspalierError ? null : (rules.targets[0]?.allowed ?? null)
        if (allowed === null) return
        const random = createRandomGenerator(seed)
        const start = allowed.uniform()
        const from = 1 + random.integer(start.length - 1)
        const kept = start.map((count, m) => (m < from ? count : random.integer(400) - 50))
        if (!allowed.repair(kept, random, from)) return
        repaired++
        expect(kept.slice(0, from)).toEqual(start.slice(0, from))
        expect(allowed.has(kept)).toBe(true)
        expect(allowed.project(kept)).toEqual(kept)
      }),
      { numRuns: 300 },
    )
    expect(repaired).toBeGreaterThan(50)
  })

  it('refuses exactly what no policy fulfils, with a set of which any part can be fulfilled', () => {
    let refused = 0
    fc.assert(
      fc.property(anyCase(true), ({ shape, constraints, target: any, latencies }) => {
        // A sparsity without any constraint is refused elsewhere.
        const target = typeof any === 'number' ? { resource: 'prunable-parameters' as const, ratio: 1 - any } : any
        const settings = { targets: [target], constraints }
        const rules = compile(shape, settings, latencies)
        if (!(rules instanceof EspalierError)) return
        refused++
        for (const kept of allPolicies(shape)) {
          if (brokenBy(kept, shape, constraints, target, latencies, 0.9e-9).length > 0) continue
          throw new Error(`${kept} fulfils all`)
        }
        const conflict = rules.details.conflict as readonly { path: string }[]
        const paths = [...new Set(conflict.map(({ path }) => path))]
        const others = (kept: readonly string[]) => {
          const all = [
            ...Object.entries(constraints).flatMap(([name, value]) =>
              Array.isArray(value)
                ? value.flatMap((_, i) =>
                    (name === 'bounds' ? ['/minimum', '/maximum'] : ['']).map(
                      (end) => `/constraints/${name}/${i}${end}`,
                    ),
                  )
                : value === undefined || name === 'contextLength' || (name === 'wholeBlockDrop' && value !== 'none')
                  ? []
                  : [`/constraints/${name}`],
            ),
            '/targets/0',
          ]
          return compact(all.filter((path) => !kept.includes(path)).reduce(without, settings as RuleSettings))
        }
        expect(compile(shape, others(paths), latencies)).toBeInstanceOf(EspalierError)
        for (const path of paths) {
          expect(compile(shape, others(paths.filter((other) => other !== path)), latencies)).not.toBeInstanceOf(
            EspalierError,
          )
        }
      }),
      { numRuns: 500 },
    )
    expect(refused).toBeGreaterThan(60)
  })

  it('finds no conflict where a policy exists', () => {
    fc.assert(
      fc.property(anyCase(true), fc.nat(), ({ shape, constraints, target, latencies }, seed) => {
        const random = createRandomGenerator(seed)
        const model = createPrunableModel(shape)
        const kept = model.modules.map(({ units }) => random.integer(units + 1))
        if (brokenBy(kept, shape, constraints, target, latencies, 0.9e-9).length > 0) return
        expect(compile(shape, { targets: [target], constraints }, latencies)).not.toBeInstanceOf(EspalierError)
      }),
      { numRuns: 1500 },
    )
  })

  it('changes nothing for sparsities without constraints', () => {
    const shape = modelShape({})
    const model = createPrunableModel(shape)
    for (const constraints of [undefined, {}, { freezeLayers: [], contextLength: 77 }]) {
      const rules = createPolicyRules(shape, { targets: [0.2, 0.35], constraints })
      rules.targets.forEach((target, index) => {
        const sparsity = index === 0 ? 0.2 : 0.35
        expect(target.allowed).toBeNull()
        expect(target.uniform()).toEqual(uniformPolicy(model, sparsity))
        expect(target.random(createRandomGenerator(7))).toEqual(randomPolicy(model, sparsity, createRandomGenerator(7)))
      })
    }
  })

  it('counts the bundled model as its files do', () => {
    // 3,640,512 parameters in 2 bytes; of the 8 layers' 5632000 prunable ones nothing may be known here.
    const shape = modelShape({ parameters: 6_432_000, weightBytes: 12_864_000 })
    const [target] = createPolicyRules(shape, { targets: [{ resource: 'weight-bytes', atMost: '10MB' }] }).targets
    const kept = target?.uniform() ?? []
    const parameters = kept.reduce((sum, count, m) => sum + count * (m % 2 === 0 ? 192 * 32 * 6 : 192 * 3), 0)
    const removed = 8 * (3 * 192 * 32 * 6 + 512 * 192 * 3) - parameters
    expect(12_864_000 - 2 * removed).toBeLessThanOrEqual(10e6)
    expect(12_864_000 - 2 * removed).toBeGreaterThan(10e6 - 2 * 192 * 3)
  })

  it('says in words which constraints conflict', () => {
    const shape = modelShape({})
    expect(() =>
      checkPolicyRules(shape, {
        targets: [0.1, 0.9],
        constraints: { only: 'attention', channelMultiple: 64, limits: [{ resource: 'kv-bytes', ratio: 0.9 }] },
      }),
    ).toThrow(
      expect.objectContaining({
        code: 'CONSTRAINTS_CONTRADICTORY',
        message: expect.stringMatching(
          /together: only attention is pruned; target sparsity 90 %\. Of them, the smallest/,
        ),
        details: expect.objectContaining({
          conflict: [
            { name: 'only attention is pruned', path: '/constraints/only' },
            { name: 'target sparsity 90 %', path: '/targets/1' },
          ],
        }),
      }),
    )
    expect(() =>
      checkPolicyRules(shape, {
        targets: [0.1],
        constraints: { channelMultiple: 64, bounds: [{ module: 'ffn', layers: [2], minimum: 65, maximum: 127 }] },
      }),
    ).toThrow(
      /ffn of layers 2 keeps at least 65; ffn of layers 2 keeps at most 127; channels are kept in multiples of 64/,
    )
    expect(() => checkPolicyRules(shape, { targets: [{ resource: 'parameters', atMost: 1000 }] })).toThrow(
      /This cannot be/,
    )
  })
})
