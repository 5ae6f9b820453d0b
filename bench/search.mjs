/**
 * Searches in one process, without a service, and compares with other search methods at the same number of real
 * evaluations. The state machine, agent, predictor and evaluator are the ones that the service runs.
 *
 *   npm run bench -- search --model models/demo --seeds 1,2,3,4,5 --budget 99 [--targets 0.2,0.35,0.5]
 *     [--agent network|random|uniform] [--fidelity auto|full] [--after SEED] [--texts DIR] [--metric NAME] [--compensation NAME] [--peers FILE]
 *     [--most-windows VALIDATION,TEST] [--cache FILE] [--json]
 *
 * --after: a cold search with this seed goes first; the others start from all that it measured.
 * --peers: a file like bench/reference/peers-demo.json; its medians are printed beside ours.
 * --most-windows: as if the texts ended after so many windows; with as many for validation as the search uses, the
 *   winner is chosen on these, as its peers choose.
 * --metric, --compensation: as of `espalier search`, but wanda and mean when left out, as in the files of peers.
 * --cache: a file that keeps what was measured, window by window, between runs.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { performStep } from '@espalier/experiments'
import { openModel } from '@espalier/model-graph'
import { planNextSteps } from '@espalier/search'
import { benchOptions, numbersOf } from './search/bench-options.mjs'
import { median } from './search/median.mjs'
import { openBench, textFilesOf } from './search/open-bench.mjs'
import { printTable } from './search/print-table.mjs'

const { values: options } = parseArgs({
  options: {
    ...benchOptions,
    seeds: { type: 'string', default: '1,2,3,4,5' },
    agent: { type: 'string', default: 'network' },
    fidelity: { type: 'string', default: 'auto' },
    after: { type: 'string' },
    'final-windows': { type: 'string' },
    peers: { type: 'string' },
  },
})

const settingsFor = (seed) => ({
  targets: numbersOf(options.targets),
  budget: Number(options.budget),
  seed,
  agent: options.agent,
  fidelity: options.fidelity,
  metric: options.metric,
  compensation: options.compensation,
  windowLength: Number(options.window),
  calibrationWindows: Number(options['calibration-windows']),
  validationWindows: Number(options['validation-windows']),
  finalWindows: options['final-windows'] ? Number(options['final-windows']) : null,
  finalists: 3,
  minimumImprovement: 0,
  texts: textFilesOf(options),
  exports: [],
})

async function main() {
  const { shape } = await openModel(options.model)
  const [{ payload }] = planNextSteps({ settings: settingsFor(1), shape, steps: [] }).steps
  const bench = await openBench(options, payload)
  const runs = []
  try {
    if (options.after) bench.earlier = evaluationsOf(await searchOnce(bench, settingsFor(Number(options.after))))
    for (const seed of numbersOf(options.seeds)) {
      const run = await searchOnce(bench, settingsFor(seed))
      runs.push({ seed: run.seed, result: run.result, time: run.time })
      if (!options.json) printRun(run)
    }
  } finally {
    await bench.close()
  }
  const summary = compareRuns(runs)
  const coverage = coverageByRound(runs)
  if (options.json) {
    console.log(JSON.stringify({ runs, summary, coverage }))
    return
  }
  printTable(summary)
  console.log("the predictor's error on policies that it had not seen, and how many lay in its 90 % interval:")
  printTable(coverage)
}

/** What a later search may start from: the service gives it the same. */
function evaluationsOf({ steps }) {
  return steps.filter(
    ({ kind, payload }) => kind === 'evaluate' && payload.split === 'validation' && payload.purpose !== 'final',
  )
}

/** One search, from the empty record to the end. */
async function searchOnce(bench, settings) {
  const steps = []
  const time = { evaluate: 0, train: 0, propose: 0, score: 0 }
  const { prunable: model, rankingsBy: rankings, windows, earlier } = bench
  const search = { model, rankings, earlier, settings, windows }
  let predictor
  for (;;) {
    const plan = planNextSteps({ settings, shape: bench.shape, steps, earlier: bench.earlier })
    if (plan.state === 'SUCCEEDED') return { seed: settings.seed, result: plan.result, time, steps }
    if (plan.state === 'FAILED') throw new Error(plan.error.message)
    if (plan.steps.every(({ kind }) => kind === 'evaluate')) {
      const started = performance.now()
      steps.push(...(await evaluate(bench, plan.steps)))
      time.evaluate += (performance.now() - started) / 1000
      continue
    }
    for (const step of plan.steps) {
      const started = performance.now()
      const done = await performStep(search, steps, step, predictor)
      predictor = done.predictor ?? predictor
      if (step.kind in time) time[step.kind] += (performance.now() - started) / 1000
      steps.push(done.step)
    }
  }
}

async function evaluate(bench, steps) {
  const measured = await bench.measure(steps.map(({ payload }) => payload))
  return steps.map((step, index) => ({ ...step, state: 'DONE', result: measured[index], error: null }))
}

function compareRuns(runs) {
  const peers = options.peers ? JSON.parse(readFileSync(options.peers, 'utf8')).peers : {}
  return numbersOf(options.targets).map((target, index) => {
    const found = runs.map(({ result }) => result.targets[index])
    const row = {
      target,
      median: median(found.map(({ testPerplexity }) => testPerplexity)),
      worst: Math.max(...found.map(({ testPerplexity }) => testPerplexity)),
      uniform: found[0].uniform.testPerplexity,
      evaluations: Math.max(...runs.map(({ result }) => result.evaluations.total)),
    }
    for (const [peer, rows] of Object.entries(peers)) row[peer] = median(rows[String(target)].map(({ test }) => test))
    return row
  })
}

/** The predictor's errors on policies that it had not learnt from, over all seeds; the last row is of the later rounds. */
function coverageByRound(runs) {
  const errors = runs.flatMap(({ result }) => result.rounds)
  const rounds = [...new Set(errors.map(({ round }) => round))].sort((a, b) => a - b)
  const rowOf = (name, chosen) => {
    const evaluations = chosen.reduce((sum, error) => sum + error.evaluations, 0)
    const mean = (field) => chosen.reduce((sum, e) => sum + e[field] * e.evaluations, 0) / evaluations
    const drift = chosen.filter((error) => error.drift).length
    return { round: name, evaluations, error: mean('meanAbsoluteError'), coverage: mean('intervalCoverage'), drift }
  }
  const rows = rounds.map((round) =>
    rowOf(
      String(round),
      errors.filter((error) => error.round === round),
    ),
  )
  const later = errors.filter(({ round }) => round > 1)
  return later.length > 0 ? [...rows, rowOf('2 and later', later)] : rows
}

function printRun({ seed, result, time }) {
  const found = result.targets.map(
    ({ sparsityTarget, validationPerplexity, testPerplexity }) =>
      `${sparsityTarget}: ${validationPerplexity.toFixed(3)} / ${testPerplexity.toFixed(3)}`,
  )
  const { metric, compensation, reasons } = result.method
  const compared = result.targets.map(({ sparsityTarget, compensations }) => {
    const each = compensations.map((entry) => `${entry.compensation} ${entry.testPerplexity.toFixed(3)}`)
    return `${sparsityTarget}: ${each.join(', ')}`
  })
  const seconds = Object.entries(time).map(([kind, value]) => `${kind} ${value.toFixed(1)} s`)
  const errors = result.rounds.map(
    ({ meanAbsoluteError: e, intervalCoverage: c }) => `${e.toFixed(3)}(${c.toFixed(2)})`,
  )
  console.log(`seed ${seed}: validation / test at ${found.join(', ')}; ${seconds.join(', ')}`)
  console.log(`  ${metric}, ${compensation} ${reasons.map((reason) => `(${reason})`).join(' ')}`)
  console.log(`  on the first test windows: ${compared.join('; ')}`)
  console.log(`  predictor's error (coverage) by round: ${errors.join(' ')}`)
}

await main()
