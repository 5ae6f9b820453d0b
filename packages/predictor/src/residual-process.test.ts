import type { KeptUnits } from '@espalier/contracts'
import { createRandomGenerator } from '@espalier/pruning'
import { describe, expect, it } from '@jest/globals'
import { createSimilarity, kernelMatrix, LEVELS, levelOf, levelsOf, ONE } from './residual-kernel.js'
import { chooseSmoothness, conditionProcess, createResidualSamples, predictHeldOut } from './residual-process.js'
import { createResidualSurface } from './residual-surface.js'

const units = [4, 300, 4, 300]
const random = createRandomGenerator(1, 'residual')
const policies = Array.from({ length: 160 }, () => units.map((count) => random.integer(count + 1)))
/** How two modules act together, which no sum over modules has. */
const interaction = ([, b = 0, , d = 0]: KeptUnits) => 0.2 * Math.sin((3 * b) / 300) * Math.cos((2 * d) / 300)
const noise = 0.01
const residuals = Float64Array.from(policies, (kept) => interaction(kept) + noise * random.normal())
const deviations = new Float64Array(policies.length)
const measured = { residuals, deviations }
const all = [...policies.keys()]

const fit = (candidates = all) => {
  const samples = createResidualSamples(units, policies, candidates)
  const smoothness = chooseSmoothness(samples, measured)
  const process = smoothness && conditionProcess(samples, smoothness, policies, residuals, measured)
  if (!smoothness || !process) throw new Error('no process')
  return { samples, smoothness, process }
}

const rootMeanSquare = (values: readonly number[]) =>
  Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length)

describe('the kernel of policies', () => {
  it('is the square of the mean similarity of the modules', () => {
    const [a, b] = [
      [4, 300, 0, 0],
      [4, 150, 0, 300],
    ]
    const matrix = kernelMatrix(levelsOf(units, [a ?? [], b ?? []]), units.length, 0.25)
    const half = Math.exp(-((127 / 255 / 0.25) ** 2) / 2)
    const whole = Math.exp(-(4 ** 2) / 2)
    expect(matrix[0]).toBe(1)
    expect(matrix[2]).toBeCloseTo(((2 + half + whole) / 4) ** 2, 5)
  })

  it('rounds counts to the nearest level and keeps those of small modules apart', () => {
    expect([0, 1, 2, 3, 4].map((kept) => levelOf(kept, 4))).toEqual([0, 64, 128, 191, 255])
    expect([levelOf(28_672, 28_672), levelOf(14_336, 28_672), levelOf(0, 28_672)]).toEqual([LEVELS - 1, 128, 0])
    expect(createSimilarity(0.1)[0]).toBe(ONE)
  })
})

describe('a residual process', () => {
  it('learns how two modules act together, and how smooth and noisy that is', () => {
    const { samples, smoothness, process } = fit(all.slice(0, 120))
    expect(samples.members).toHaveLength(120)
    expect(smoothness.variance * smoothness.noiseRatio).toBeGreaterThan(0.3 * noise ** 2)
    expect(smoothness.variance * smoothness.noiseRatio).toBeLessThan(3 * noise ** 2)
    const residualOf = createResidualSurface(units, process).createResidual()
    const unseen = policies.slice(120)
    const errors = unseen.map((kept) => residualOf(kept) - interaction(kept))
    expect(rootMeanSquare(errors)).toBeLessThan(0.25 * rootMeanSquare(unseen.map(interaction)))
  })

  it('says of policies held out what a process without them says', () => {
    const { samples, smoothness } = fit()
    const heldOut = [3, 70, 159]
    const rest = all.filter((i) => !heldOut.includes(i))
    const others = createResidualSamples(units, policies, rest)
    const process = conditionProcess(others, smoothness, policies, residuals, measured)
    const residualOf = process && createResidualSurface(units, process).createResidual()
    for (const [i, predicted] of predictHeldOut(samples, smoothness, measured, heldOut).entries()) {
      expect(predicted).toBeCloseTo(residualOf?.(policies[heldOut[i] ?? 0] ?? []) ?? Number.NaN, 9)
    }
  })

  it('trusts what was measured on few windows less', () => {
    const { samples, smoothness } = fit()
    const spoilt = { residuals: residuals.slice(), deviations: deviations.slice() }
    spoilt.residuals[0] = 5
    spoilt.deviations[0] = 50
    const near = all.slice(1, 40)
    const [trusted, doubted] = [measured, spoilt].map((each) => predictHeldOut(samples, smoothness, each, near))
    for (const [i, value] of trusted?.entries() ?? []) expect(doubted?.[i]).toBeCloseTo(value, 2)
  })

  it('scores the same whatever was scored before', () => {
    const { process } = fit()
    const surface = createResidualSurface(units, process)
    const worn = surface.createResidual()
    for (const kept of policies) worn(kept)
    for (const kept of policies.toReversed()) expect(worn(kept)).toBe(surface.createResidual()(kept))
  })

  it('goes by the newest policies only, of very many', () => {
    const many = Array.from({ length: 600 }, (_, i) => [i % 5, i % 301, (i >> 1) % 5, (7 * i) % 301])
    const { members } = createResidualSamples(units, many, [...many.keys()])
    expect([members.length, members[0], members.at(-1)]).toEqual([256, 344, 599])
  })

  it('is none where there is nothing to learn from', () => {
    expect(chooseSmoothness(createResidualSamples(units, policies, [0]), measured)).toBeNull()
  })
})

describe('draws from a residual process', () => {
  const { process } = fit(all.slice(0, 60))
  const surface = createResidualSurface(units, process)
  const mean = surface.createResidual()
  const draw = (scale: number, curveAt: (kept: KeptUnits) => number, seed = 1) =>
    surface.draw(createRandomGenerator(seed, 'draw'), curveAt, scale)

  it('are the mean where they must not deviate', () => {
    const drawn = draw(0, () => 0)
    for (const kept of policies) expect(drawn(kept)).toBeCloseTo(mean(kept), 9)
  })

  it('deviate little where something was measured, and as the prior does where nothing is alike', () => {
    const draws = Array.from({ length: 200 }, (_, seed) => draw(1, () => 0, seed))
    const deviationAt = (kept: KeptUnits) => rootMeanSquare(draws.map((drawn) => drawn(kept) - mean(kept)))
    const known = process.kept.slice(0, 10).map(deviationAt)
    expect(rootMeanSquare(known)).toBeLessThan(2 * noise)
    const alone = conditionProcess(
      createResidualSamples(units, [[4, 300, 4, 300]], [0]),
      process.smoothness,
      [[4, 300, 4, 300]],
      new Float64Array(1),
      { residuals: new Float64Array(1), deviations: new Float64Array(1) },
    )
    const far = alone && createResidualSurface(units, alone)
    const values = Array.from({ length: 400 }, (_, seed) =>
      far?.draw(createRandomGenerator(seed, 'far'), () => 0, 1)([0, 0, 0, 0]),
    )
    const ratio = rootMeanSquare(values.map(Number)) / Math.sqrt(process.smoothness.variance)
    expect(ratio).toBeGreaterThan(0.8)
    expect(ratio).toBeLessThan(1.2)
  })

  it('make up for a curve that was drawn elsewhere, so that both go through what was measured', () => {
    const curveAt = ([, b = 0]: KeptUnits) => b / 3000
    const drawn = draw(1, curveAt)
    const errors = process.kept.map((kept, i) => curveAt(kept) + drawn(kept) - (process.logRises[i] ?? 0))
    expect(rootMeanSquare(errors)).toBeLessThan(3 * noise)
  })
})
