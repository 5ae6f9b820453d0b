import { trainPredictor } from '@espalier/predictor'
import { createRandomGenerator, randomPolicy } from '@espalier/pruning'
import type { ExperimentPart, PartContext, PartResult } from '../experiment-part.js'
import { measureKnownPolicies } from '../known-policies.js'

export const evaluationTime: ExperimentPart = {
  part: 3,
  title: 'Time of an evaluation: predictor against measurement',
  run: runEvaluationTime,
}

/** What the paper reports, arXiv 2508.02381. */
const PAPER_TIMES = 64
const COUNTS = [100, 1_000, 10_000, 100_000, 1_000_000]

/** Seconds of everything that is counted. */
export interface EvaluationTimes {
  /** Of one real evaluation, and of one among others whose first modules are shared. */
  readonly alone: number
  readonly together: number
  /** Of measuring what the predictor learns from, and of training it. */
  readonly learning: number
  readonly training: number
  /** Of one prediction. */
  readonly prediction: number
}

async function runEvaluationTime({ workshop, scale, seeds, progress }: PartContext): Promise<PartResult> {
  const { subject } = workshop
  const { method, validationWindows: windows } = scale
  const seed = seeds[0] ?? 1
  const calibration = await subject.calibrate(scale.calibrationWindows)
  const known = await measureKnownPolicies(subject, {
    ...{ calibration, method, windows, seed, sparsities: scale.targets, randoms: scale.constraints.randoms },
    onProgress: (share) => progress(0.6 * share, 'measuring what the predictor learns from'),
  })
  const { model } = subject
  let started = subject.now()
  const task = { model, rankings: calibration.rankings(method.metric), evaluations: known.evaluations, seed }
  const predictor = trainPredictor(task)
  const training = subject.now() - started

  const random = createRandomGenerator(seed, 'evaluation-time')
  const draw = (count: number) =>
    Array.from({ length: count }, (_, index) =>
      randomPolicy(model, scale.targets[index % scale.targets.length] ?? 0.5, random),
    )
  const policies = draw(scale.time.evaluations)
  const request = { policies, calibration, method, split: 'validation', windows } as const
  progress(0.6, 'measuring policies one by one')
  started = subject.now()
  await subject.measure({ ...request, alone: true })
  const alone = (subject.now() - started) / policies.length
  progress(0.8, 'measuring the same policies together')
  started = subject.now()
  await subject.measure(request)
  const together = (subject.now() - started) / policies.length

  progress(0.95, 'predicting')
  const many = draw(scale.time.scores)
  const score = predictor.createScorer()
  for (const kept of many) score(kept)
  started = subject.now()
  for (const kept of many) score(kept)
  const prediction = (subject.now() - started) / many.length
  const times = { alone, together, learning: known.seconds, training, prediction }
  return {
    method:
      `A real evaluation is perplexity on ${windows} windows of ${subject.windowLength} tokens, after calibration, which both ways need ` +
      `(${calibration.seconds.toFixed(1)} s). The predictor learns from ${known.evaluations.length} such evaluations; their time and that of training count. ` +
      `Predictions are made one by one on one thread, ${many.length.toLocaleString('en')} of them. *End to end* for N policies: N real evaluations ` +
      '(together, sharing first modules) against learning, training and N predictions. ' +
      `The paper (arXiv 2508.02381) says ${PAPER_TIMES} times and not what it counts, so our ratio is given per policy and end to end; ` +
      'neither claims to be its.',
    findings: findings(times),
    tables: [
      {
        title: 'Seconds',
        columns: [
          { title: 'what', format: 'text' },
          { title: 'a policy', format: 'seconds' },
          { title: 'once', format: 'seconds' },
        ],
        rows: [
          ['real evaluation, alone', alone, null],
          ['real evaluation, among others', together, null],
          [`${known.evaluations.length} evaluations to learn from`, null, known.seconds],
          ['training', null, training],
          ['prediction', prediction, null],
        ],
      },
      {
        title: 'End to end',
        columns: [
          { title: 'policies', format: 'count' },
          { title: 'measured', format: 'seconds' },
          { title: 'predicted', format: 'seconds' },
          { title: 'ratio', format: 'times' },
        ],
        rows: COUNTS.map((count) => {
          const { measured, predicted } = endToEnd(times, count)
          return [count, measured, predicted, measured / predicted]
        }),
      },
    ],
    plots: [
      {
        name: 'evaluation-time',
        title: 'Seconds to judge so many policies',
        x: { label: 'policies', scale: 'log' },
        y: { label: 'seconds', scale: 'log' },
        series: (['measured', 'predicted'] as const).map((way) => ({
          name: way,
          style: 'line',
          points: [10, ...COUNTS].map((count) => [count, endToEnd(times, count)[way]] as [number, number]),
        })),
      },
    ],
  }
}

/** Seconds for so many policies, each way. */
export function endToEnd({ together, learning, training, prediction }: EvaluationTimes, policies: number) {
  return { measured: policies * together, predicted: learning + training + policies * prediction }
}

/** From how many policies on the predictor is so many times as fast, end to end; null: never. */
export function policiesForRatio(times: EvaluationTimes, ratio: number): number | null {
  const gain = times.together - ratio * times.prediction
  return gain > 0 ? (ratio * (times.learning + times.training)) / gain : null
}

function findings(times: EvaluationTimes): string[] {
  const perPolicy = times.alone / times.prediction
  const reached = (ratio: number) => policiesForRatio(times, ratio)
  const shown = (count: number | null) => (count === null ? 'never' : Math.ceil(count).toLocaleString('en'))
  return [
    `A prediction takes ${(1e6 * times.prediction).toFixed(1)} microseconds, a measurement ${times.alone.toFixed(2)} s: ${Number(perPolicy.toPrecision(2)).toLocaleString('en')} times as long.`,
    `End to end the predictor pays from ${shown(reached(1))} policies on, and is ${PAPER_TIMES} times as fast from ${shown(reached(PAPER_TIMES))} on. Below ${shown(reached(1))} policies measuring wins.`,
  ]
}
