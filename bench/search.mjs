/**
 * Searches in one process, without a service, and compares with other search methods at the same number of real
 * evaluations. The state machine, agent, predictor and evaluator are the ones that the service runs.
 *
 *   npm run bench -- search --model models/demo --seeds 1,2,3,4,5 --budget 99 [--targets 0.2,0.35,0.5]
 *     [--agent network|random|uniform] [--fidelity auto|full] [--after SEED] [--texts DIR] [--metric NAME] [--compensation NAME] [--peers FILE] [--cache FILE] [--json]
 *
 * --after: a cold search with this seed goes first; the others start from all that it measured.
 * --peers: a file like bench/reference/peers-demo.json; its medians are printed beside ours.
 * --metric, --compensation: as of `espalier search`; its defaults when left out.
 * --cache: a file that keeps what was measured, window by window, between runs.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { searchDefaults } from '@espalier/contracts'
import { createEvaluator } from '@espalier/evaluator'
import { performStep } from '@espalier/experiments'
import { loadTokenizer, openModel } from '@espalier/model-graph'
import { createPrunableModel, rankModules, selectKeptIndices } from '@espalier/pruning'
import { planNextSteps } from '@espalier/search'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/demo' },
    texts: { type: 'string' },
    seeds: { type: 'string', default: '1,2,3,4,5' },
    budget: { type: 'string', default: '99' },
    targets: { type: 'string', default: '0.2,0.35,0.5' },
    agent: { type: 'string', default: 'network' },
    fidelity: { type: 'string', default: 'auto' },
    after: { type: 'string' },
    window: { type: 'string', default: '256' },
    'calibration-windows': { type: 'string', default: '16' },
    'validation-windows': { type: 'string', default: '16' },
    'final-windows': { type: 'string' },
    metric: { type: 'string', default: searchDefaults.metric },
    compensation: { type: 'string', default: searchDefaults.compensation },
    peers: { type: 'string' },
    cache: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})

const settingsFor = (seed) => ({
  targets: options.targets.split(',').map(Number),
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
  texts: Object.fromEntries(
    splits.map((split) => [split, join(options.texts ?? join(options.model, 'texts'), `${split}.txt`)]),
  ),
  exports: [],
})

const splits = ['calibration', 'validation', 'test']

async function main() {
  const bench = await openBench()
  const runs = []
  try {
    if (options.after) bench.earlier = evaluationsOf(await searchOnce(bench, settingsFor(Number(options.after))))
    for (const seed of options.seeds.split(',').map(Number)) {
      const run = await searchOnce(bench, settingsFor(seed))
      runs.push({ seed: run.seed, result: run.result, time: run.time })
      if (!options.json) printRun(run)
    }
  } finally {
    await bench.evaluator.close()
    bench.cache.save()
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

/** Opens the model, tokenises its texts and calibrates: what all seeds share. */
async function openBench() {
  const settings = settingsFor(1)
  const model = await openModel(options.model)
  const tokenizer = await loadTokenizer(options.model)
  const ids = {}
  for (const split of splits) ids[split] = await tokenizer.encode(readFileSync(settings.texts[split], 'utf8'))
  const evaluator = await createEvaluator({ modelDirectory: options.model })
  const { windowLength, calibrationWindows: windows } = settings
  const calibration = await evaluator.calibrate({
    ids: ids.calibration,
    windowLength,
    windows,
    gram: planNextSteps({ settings, shape: model.shape, steps: [] }).steps[0].payload.gram,
  })
  const prunable = createPrunableModel(model.shape)
  const rankingsBy = (metric) => rankModules(metric, calibration.modules, prunable)
  return { model, prunable, ids, evaluator, calibration, rankingsBy, cache: openCache() }
}

function openCache() {
  const file = options.cache
  const known = new Map(file && existsSync(file) ? Object.entries(JSON.parse(readFileSync(file, 'utf8'))) : [])
  return { known, save: () => file && writeFileSync(file, JSON.stringify(Object.fromEntries(known))) }
}

/** One search, from the empty record to the end. */
async function searchOnce(bench, settings) {
  const steps = []
  const time = { evaluate: 0, train: 0, propose: 0, score: 0 }
  const { prunable: model, rankingsBy: rankings, earlier } = bench
  const search = { model, rankings, earlier, settings, windows: windowsOf(bench, settings) }
  let predictor
  for (;;) {
    const plan = planNextSteps({ settings, shape: bench.model.shape, steps, earlier: bench.earlier })
    if (plan.state === 'SUCCEEDED') return { seed: settings.seed, result: plan.result, time, steps }
    if (plan.state === 'FAILED') throw new Error(plan.error.message)
    if (plan.steps.every(({ kind }) => kind === 'evaluate')) {
      const started = performance.now()
      steps.push(...(await evaluate(bench, settings, plan.steps)))
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

function windowsOf({ ids }, { windowLength }) {
  return Object.fromEntries(splits.map((split) => [split, Math.floor(ids[split].length / windowLength)]))
}

/** Measures the policies of these steps that are not in the cache, those under one method on the same windows together. */
async function evaluate(bench, settings, steps) {
  const { known } = bench.cache
  const { windowLength } = settings
  const methodOfStep = ({ method }) => `${method.metric}/${method.compensation}`
  // A cached measurement serves every smaller number of windows too: windows are measured from the start of the split.
  const keyOf = (payload) =>
    [
      ...[options.model, methodOfStep(payload), windowLength, settings.calibrationWindows],
      ...[payload.split, payload.keptUnits],
    ].join('/')
  const unknown = steps
    .map(({ payload }) => payload)
    .filter((payload) => (known.get(keyOf(payload))?.length ?? 0) < payload.windows)
  const groupOf = (payload) => [methodOfStep(payload), payload.split, payload.windows].join('/')
  for (const name of new Set(unknown.map(groupOf))) {
    const group = unknown.filter((payload) => groupOf(payload) === name)
    const [{ split, windows, method }] = group
    const measured = await bench.evaluator.measureMany({
      policies: group.map(({ keptUnits }) => selectKeptIndices(bench.rankingsBy(method.metric), keptUnits)),
      calibration: bench.calibration,
      ...method,
      ids: bench.ids[split],
      windowLength,
      windows,
    })
    for (const [index, payload] of group.entries()) known.set(keyOf(payload), measured[index].nll)
  }
  return steps.map((step) => {
    const nll = known.get(keyOf(step.payload)).slice(0, step.payload.windows)
    return { ...step, state: 'DONE', result: summarise(nll, windowLength), error: null }
  })
}

function summarise(nll, windowLength) {
  const tokens = nll.length * (windowLength - 1)
  const logPerplexity = nll.reduce((sum, value) => sum + value, 0) / tokens
  return { nll, tokens, logPerplexity, perplexity: Math.exp(logPerplexity), seconds: 0 }
}

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

function compareRuns(runs) {
  const peers = options.peers ? JSON.parse(readFileSync(options.peers, 'utf8')).peers : {}
  return options.targets.split(',').map((target, index) => {
    const found = runs.map(({ result }) => result.targets[index])
    const row = {
      target: Number(target),
      median: median(found.map(({ testPerplexity }) => testPerplexity)),
      worst: Math.max(...found.map(({ testPerplexity }) => testPerplexity)),
      uniform: found[0].uniform.testPerplexity,
      evaluations: Math.max(...runs.map(({ result }) => result.evaluations.total)),
    }
    for (const [peer, rows] of Object.entries(peers))
      row[peer] = median(rows[String(Number(target))].map(({ test }) => test))
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

function printTable(rows) {
  const round = (value) => (typeof value === 'number' ? Number(value.toFixed(3)) : value)
  console.table(rows.map((row) => Object.fromEntries(Object.entries(row).map(([k, v]) => [k, round(v)]))))
}

await main()
