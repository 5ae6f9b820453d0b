/**
 * What other search methods reach on a model: the same masks, texts and windows, the same number of real evaluations,
 * the winner by validation perplexity, its perplexity on the test windows.
 *
 *   npm run bench -- search-peers --model DIR --out FILE [--texts DIR] [--seeds 1,2,3] [--budget 99] [--targets 0.2,0.35,0.5]
 *     [--peers NAME,...] [--optuna PYTHON] [--window 256] [--calibration-windows 16] [--validation-windows 16]
 *     [--most-windows VALIDATION,TEST] [--metric NAME] [--compensation NAME] [--cache FILE] [--json]
 *
 * --budget: real evaluations over all targets, as of a search; each target has an equal share of them.
 * --out: a file like bench/reference/peers-demo.json, for `npm run bench -- search --peers FILE`; written after each peer.
 *   Peers and seeds of a run before, by the same protocol, stay in it.
 * --peers: only these; all when left out. --optuna: a Python with optuna, for TPE, NSGA-II and CMA-ES.
 * --most-windows: as if the texts ended after so many windows. --cache: as of `search`; the same file will do.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import { recordingOf } from '@espalier/contracts'
import { createRandomGenerator, denseUnits, sparsityOf } from '@espalier/pruning'
import { evolution } from './peers/search/evolution.mjs'
import { flap } from './peers/search/flap.mjs'
import { knapsack } from './peers/search/knapsack.mjs'
import { optunaPeers } from './peers/search/optuna.mjs'
import { random } from './peers/search/random.mjs'
import { uniform } from './peers/search/uniform.mjs'
import { benchOptions, numbersOf } from './search/bench-options.mjs'
import { median } from './search/median.mjs'
import { openBench } from './search/open-bench.mjs'
import { printTable } from './search/print-table.mjs'

const { values: options } = parseArgs({
  options: {
    ...benchOptions,
    seeds: { type: 'string', default: '1,2,3' },
    peers: { type: 'string' },
    optuna: { type: 'string' },
    out: { type: 'string' },
  },
})
const targets = numbersOf(options.targets)
const seeds = numbersOf(options.seeds)
const evaluations = Math.floor(Number(options.budget) / targets.length)
const { metric, compensation } = options
if (metric === 'auto' || compensation === 'auto') {
  console.error('Which metric and compensation? Peers choose neither; auto is of a search alone')
  process.exit(2)
}

async function main() {
  const chosen = choosePeers()
  const bench = await openBench(options, recordingOf(options))
  try {
    const report = await createReport(bench)
    for (const [position, seed] of seeds.entries()) {
      for (const peer of chosen) {
        if (!peer.seeded && position > 0) continue
        await runPeer(bench, peer, peer.seeded ? seed : 0, report)
        if (options.out) writeFileSync(options.out, `${JSON.stringify(report)}\n`)
      }
    }
    if (options.json) console.log(JSON.stringify(report))
    else printTable(medians(report))
  } finally {
    await bench.close()
  }
}

function choosePeers() {
  const all = [uniform, flap, knapsack, random, evolution, ...(options.optuna ? optunaPeers(options.optuna) : [])]
  const names = options.peers?.split(',') ?? all.map(({ name }) => name)
  return names.map((name) => {
    const peer = all.find((each) => each.name === name)
    if (peer) return peer
    throw new Error(`No peer ${name}; there are ${all.map((each) => each.name).join(', ')}`)
  })
}

async function createReport(bench) {
  const dense = denseUnits(bench.prunable)
  const protocol = {
    windowLength: Number(options.window),
    calibrationWindows: Number(options['calibration-windows']),
    validationWindows: Number(options['validation-windows']),
    testWindows: bench.windows.test,
    metric,
    compensation,
    targets,
    budgetPerTarget: evaluations,
  }
  const [[validation], [test]] = [await validate(bench, [dense]), await finish(bench, [dense])]
  return {
    protocol,
    dense: { validation: validation.perplexity, test: test.perplexity },
    peers: earlierPeers(protocol),
  }
}

/** What `--out` has already, if it was measured in the same way. */
function earlierPeers(protocol) {
  if (!options.out || !existsSync(options.out)) return {}
  const earlier = JSON.parse(readFileSync(options.out, 'utf8'))
  if (isDeepStrictEqual(earlier.protocol, protocol)) return earlier.peers
  throw new Error(`${options.out} is of another protocol: ${JSON.stringify(earlier.protocol)}; choose another --out`)
}

/** A peer's own search, with its evaluations counted, and the best policy of each target on the test windows. */
async function runPeer(bench, peer, seed, { peers }) {
  const tried = []
  const measure = async (policies, target = null) => {
    const measured = await validate(bench, policies)
    tried.push(...policies.map((kept, index) => ({ target, kept, ...measured[index] })))
    if (tried.length > evaluations * targets.length) throw new Error(`${peer.name} took more than its evaluations`)
    return measured.map(({ logPerplexity }) => logPerplexity)
  }
  const refusal = await peer.search({
    model: bench.prunable,
    statistics: bench.calibration.modules,
    rankings: bench.rankingsBy(metric),
    metric,
    targets,
    evaluations,
    seed,
    randomFor: (target) => createRandomGenerator(seed, 'search-peers', peer.name, target),
    measure,
  })
  if (refusal) {
    console.error(`${peer.name}: left out, it ${refusal}`)
    return
  }
  peers[peer.name] ??= Object.fromEntries(targets.map((target) => [String(target), []]))
  for (const target of targets) {
    const row = await resultOf(bench, tried, target)
    const others = peers[peer.name][String(target)].filter((earlier) => earlier.seed !== seed)
    peers[peer.name][String(target)] = [...others, { seed, ...row }]
    if (!options.json) {
      const { validation, test } = row
      console.log(`${peer.name}, seed ${seed}, ${target}: ${validation.toFixed(3)} / ${test.toFixed(3)}`)
    }
  }
}

/** Evaluations of no target serve them all, and count for each. */
async function resultOf(bench, tried, target) {
  const own = tried.filter((each) => each.target === target)
  const best = own.reduce((a, b) => (b.logPerplexity < a.logPerplexity ? b : a))
  const shared = tried.filter((each) => each.target === null).length
  const [{ perplexity: test }] = await finish(bench, [best.kept])
  const { kept, perplexity: validation } = best
  const counted = { evaluations: own.length + shared, validation, test }
  return { ...counted, sparsity: sparsityOf(bench.prunable, kept), keep: kept }
}

function validate(bench, policies) {
  return bench.measure(requests(policies, 'validation', Number(options['validation-windows'])))
}

function finish(bench, policies) {
  return bench.measure(requests(policies, 'test', bench.windows.test))
}

function requests(policies, split, windows) {
  return policies.map((keptUnits) => ({ keptUnits, split, windows, method: { metric, compensation } }))
}

/** Median test perplexity over the seeds of each peer. */
function medians({ peers }) {
  return targets.map((target) => ({
    target,
    ...Object.fromEntries(
      Object.entries(peers).map(([name, rows]) => [name, median(rows[String(target)].map(({ test }) => test))]),
    ),
  }))
}

await main()
