import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { createContributions, evaluateCurve, parameterCount } from './curve-model.js'
import { createCoordinates, type ModuleScale } from './module-coordinates.js'

const scale: ModuleScale = {
  units: [3, 40, 3, 40],
  kinds: [0, 1, 0, 1],
  removedShare: [3, 40, 3, 40].map((units) =>
    Float32Array.from({ length: units + 1 }, (_, kept) => (1 - kept / units) ** 1.7),
  ),
}
const probes = [0.04, 0.01, 0.002, 0.3].map((damage) => ({
  damage,
  spread: 0.4,
  logShare: Math.log(0.3),
  logRemoved: Math.log(0.5),
}))
const curve = { scale, probes, coordinates: createCoordinates(scale, probes) }
const count = parameterCount(4)

describe('curve model', () => {
  it('has the derivatives of its own formula', () => {
    const kept = fc.tuple(...scale.units.map((max) => fc.integer({ min: 0, max })))
    const parameters = fc.array(fc.double({ min: -0.8, max: 0.8, noNaN: true }), { minLength: count, maxLength: count })
    fc.assert(
      fc.property(kept, parameters, (policy, values) => {
        const theta = Float64Array.from(values)
        const scratch = createContributions(4)
        const jacobian = new Float64Array(count)
        evaluateCurve(curve, theta, policy, scratch, jacobian)
        for (let k = 0; k < count; k++) {
          const at = (step: number) => evaluateCurve(curve, theta.with(k, (theta[k] ?? 0) + step), policy, scratch)
          const difference = (at(1e-5) - at(-1e-5)) / 2e-5
          expect(Math.abs(difference - (jacobian[k] ?? 0))).toBeLessThan(1e-6 * (1 + Math.abs(difference)))
        }
      }),
      { numRuns: 200 },
    )
  })
})
