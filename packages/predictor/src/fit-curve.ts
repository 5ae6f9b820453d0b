import type { KeptUnits } from '@espalier/contracts'
import { type Curve, createContributions, evaluateCurve, parameter, parameterCount } from './curve-model.js'
import { addGram, choleskyFactor, GRAM_ROWS, invertLower, solveCholesky } from './linear-algebra.js'
import { noiseAt } from './rise.js'

/** Policies with what was measured, rises D and t = log(D + 0.01). */
export interface Samples {
  readonly kept: readonly KeptUnits[]
  readonly rises: Float64Array
  readonly logRises: Float64Array
  /** Standard deviation of each t from having been measured on fewer windows. */
  readonly deviations: Float64Array
}

/** A Gaussian a parameter. */
export interface CurvePrior {
  readonly means: Float64Array
  readonly deviations: Float64Array
}

export interface CurveFit {
  readonly parameters: Float64Array
  /** Residual standard deviation of t. */
  readonly noise: number
  /** R, K * K lower triangular, with posterior covariance R^T R (Laplace): Var[t] = |R dt/dparameters|^2. */
  readonly covarianceRoot: Float64Array
}

/** Residuals beyond this many standard deviations count linearly (Huber). */
const HUBER = 2.5
/** Noise that a curve with few evaluations is believed to have, and how many evaluations that belief is worth. */
const PRIOR_NOISE = 0.12
const PRIOR_NOISE_WEIGHT = 4
const NOISE_ROUNDS = 3
const MAX_STEPS = 25
const MAX_DAMPINGS = 8

/** The same beliefs for every model; what differs (s_m and its spread) comes from the probes. */
export function createCurvePrior(curve: Curve): CurvePrior {
  const modules = curve.scale.units.length
  const means = new Float64Array(parameterCount(modules))
  const deviations = new Float64Array(parameterCount(modules))
  const set = (start: number, count: number, mean: number, deviation: number) => {
    means.fill(mean, start, start + count)
    deviations.fill(deviation, start, start + count)
  }
  set(parameter.intercept, 1, 0, 0.7)
  set(parameter.slope, 1, 1, 0.25)
  set(parameter.bend, 1, 0, 0.2)
  set(parameter.exponent, 2, 1.3, 0.4)
  set(parameter.mixture, 2, 0.6, 0.3)
  set(parameter.shape, 2, 0, 0.5)
  deviations.set(
    curve.probes.map(({ spread }) => spread),
    parameter.perModule,
  )
  set(parameter.perModule + modules, modules, 0, 0.3)
  return { means, deviations }
}

/**
 * Maximum a posteriori by Levenberg-Marquardt with Huber weights, alternating with the noise; then Laplace's
 * approximation of the posterior.
 */
export function fitCurve(curve: Curve, prior: CurvePrior, samples: Samples): CurveFit {
  const problem = createProblem(curve, prior, samples)
  let fit: CurveFit = { parameters: prior.means, noise: PRIOR_NOISE, covarianceRoot: new Float64Array(0) }
  for (let round = 0; round < NOISE_ROUNDS; round++) {
    const { parameters, covarianceRoot, residuals, sigmas } = fitAtNoise(problem, fit.parameters, fit.noise)
    const decided = effectiveParameters(prior, covarianceRoot)
    fit = { parameters, covarianceRoot, noise: estimateNoise(residuals, sigmas, fit.noise, decided) }
  }
  return fit
}

/** The fit to most of the samples of `fit`, at the same noise, from where `fit` ended. */
export function refitCurve(curve: Curve, prior: CurvePrior, samples: Samples, fit: CurveFit): CurveFit {
  const { parameters, covarianceRoot } = fitAtNoise(createProblem(curve, prior, samples), fit.parameters, fit.noise)
  return { parameters, covarianceRoot, noise: fit.noise }
}

interface Problem {
  readonly curve: Curve
  readonly prior: CurvePrior
  readonly samples: Samples
  readonly scratch: ReturnType<typeof createContributions>
  /** [sample, parameter], padded with rows of zeros, overwritten by every linearisation. */
  readonly jacobian: Float64Array
}

function createProblem(curve: Curve, prior: CurvePrior, samples: Samples): Problem {
  const rows = Math.ceil(samples.kept.length / GRAM_ROWS) * GRAM_ROWS
  const jacobian = new Float64Array(rows * prior.means.length)
  return { curve, prior, samples, scratch: createContributions(curve.scale.units.length), jacobian }
}

function fitAtNoise(problem: Problem, start: Float64Array, noise: number) {
  const sigmas = sigmasOf(problem.samples, noise)
  const parameters = maximise(problem, start, sigmas)
  const { matrix, residuals } = linearise(problem, parameters, sigmas)
  const count = parameters.length
  const factor = choleskyFactor(matrix, count) ?? diagonalFactor(problem.prior)
  return { parameters, covarianceRoot: invertLower(factor, count), residuals, sigmas }
}

/** Standard deviation of each t around the curve: misfit, grain and the windows it was measured on. */
function sigmasOf({ rises, deviations }: Samples, noise: number): Float64Array {
  return rises.map((rise, i) => Math.hypot(noiseAt(noise, rise), deviations[i] ?? 0))
}

function maximise(problem: Problem, start: Float64Array, sigmas: Float64Array): Float64Array {
  let parameters = start
  let cost = costOf(problem, parameters, sigmas)
  let damping = 1e-2
  for (let step = 0; step < MAX_STEPS; step++) {
    const { matrix, gradient } = linearise(problem, parameters, sigmas)
    const costBefore = cost
    for (let attempt = 0; attempt < MAX_DAMPINGS && cost === costBefore; attempt++) {
      const moved = dampedStep(matrix, gradient, parameters, damping)
      const movedCost = moved ? costOf(problem, moved, sigmas) : Number.POSITIVE_INFINITY
      // Written so that a cost that is not a number is refused too.
      if (moved && movedCost < cost) {
        parameters = moved
        cost = movedCost
        damping = Math.max(1e-6, damping / 5)
      } else {
        damping *= 5
      }
    }
    if (!(costBefore - cost > 1e-4 * Math.max(1, 0.1 * cost))) break
  }
  return parameters
}

function dampedStep(matrix: Float64Array, gradient: Float64Array, from: Float64Array, damping: number) {
  const count = from.length
  const damped = matrix.slice()
  for (let k = 0; k < count; k++) damped[k * count + k] = (damped[k * count + k] ?? 0) * (1 + damping)
  const factor = choleskyFactor(damped, count)
  if (!factor) return null
  const step = solveCholesky(factor, count, gradient)
  return from.map((value, k) => value + (step[k] ?? 0))
}

/** Negative log posterior, up to a constant. */
function costOf(problem: Problem, parameters: Float64Array, sigmas: Float64Array): number {
  const { curve, prior, samples, scratch } = problem
  let cost = 0
  for (let k = 0; k < parameters.length; k++) {
    cost += (((parameters[k] ?? 0) - (prior.means[k] ?? 0)) / (prior.deviations[k] ?? 1)) ** 2 / 2
  }
  for (const [i, kept] of samples.kept.entries()) {
    const error = (samples.logRises[i] ?? 0) - evaluateCurve(curve, parameters, kept, scratch)
    const size = Math.abs(error / (sigmas[i] ?? 1))
    cost += size < HUBER ? size ** 2 / 2 : HUBER * (size - HUBER / 2)
  }
  return cost
}

/** Gauss-Newton: matrix = J^T W J + prior precision (lower triangle), gradient = -dcost/dparameters. */
function linearise(problem: Problem, parameters: Float64Array, sigmas: Float64Array) {
  const { curve, prior, samples, scratch, jacobian } = problem
  const count = parameters.length
  const matrix = new Float64Array(count * count)
  const gradient = new Float64Array(count)
  const residuals = new Float64Array(samples.kept.length)
  for (let k = 0; k < count; k++) {
    const precision = (prior.deviations[k] ?? 1) ** -2
    matrix[k * count + k] = precision
    gradient[k] = precision * ((prior.means[k] ?? 0) - (parameters[k] ?? 0))
  }
  for (const [i, kept] of samples.kept.entries()) {
    const row = i * count
    const error = (samples.logRises[i] ?? 0) - evaluateCurve(curve, parameters, kept, scratch, jacobian, row)
    residuals[i] = error
    const sigma = sigmas[i] ?? 1
    const weight = Math.min(1, HUBER / Math.max(Math.abs(error / sigma), 1e-12)) / sigma ** 2
    scaleRow(jacobian, row, gradient, Math.sqrt(weight), error)
  }
  addGram(matrix, jacobian, count)
  return { matrix, gradient, residuals }
}

/** Scales a row of the Jacobian by the root of its weight and adds its part of J^T W e to the gradient. */
function scaleRow(jacobian: Float64Array, row: number, gradient: Float64Array, scale: number, error: number): void {
  for (let k = 0; k < gradient.length; k++) {
    const scaled = scale * (jacobian[row + k] ?? 0)
    jacobian[row + k] = scaled
    gradient[k] = (gradient[k] ?? 0) + scaled * scale * error
  }
}

/** K - trace(prior precision * posterior covariance): how many parameters the samples really decide. */
function effectiveParameters(prior: CurvePrior, root: Float64Array): number {
  const count = prior.means.length
  let decided = count
  for (let row = 0; row < count; row++) {
    for (let k = 0; k <= row; k++) decided -= ((root[row * count + k] ?? 0) / (prior.deviations[k] ?? 1)) ** 2
  }
  return decided
}

/** Mean square of residuals, those in the grain of the measurement discounted, outliers clipped, shrunk to a belief. */
function estimateNoise(residuals: Float64Array, sigmas: Float64Array, noise: number, decided: number): number {
  let sum = PRIOR_NOISE_WEIGHT * PRIOR_NOISE ** 2
  let weights = PRIOR_NOISE_WEIGHT
  for (const [i, residual] of residuals.entries()) {
    const relative = (noise / (sigmas[i] ?? 1)) ** 2
    sum += Math.min(residual ** 2 * relative, (3 * noise) ** 2)
    weights += 1
  }
  return Math.sqrt(sum / Math.max(weights - decided, PRIOR_NOISE_WEIGHT + 2))
}

/** The prior alone, should rounding have spoilt the matrix. */
function diagonalFactor(prior: CurvePrior): Float64Array {
  const count = prior.means.length
  const factor = new Float64Array(count * count)
  for (let k = 0; k < count; k++) factor[k * count + k] = 1 / (prior.deviations[k] ?? 1)
  return factor
}
