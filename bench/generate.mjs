/**
 * Generated policies, really measured, and how fast the service gives them. Runs a search of a model through the
 * service (or takes a finished one of a home), asks for policies at sparsities between the targets, measures each and
 * the uniform policy of the same sparsity on the test split, then asks for random sparsities at a steady rate.
 *
 *   npm run bench -- generate [--model models/demo] [--home DIR --search ID] [--targets 0.2,0.35,0.5] [--budget 99]
 *     [--from 0.18 --to 0.52 --count 8] [--rate 50] [--seconds 20] [--json]
 *
 * Without --home everything happens in a folder of its own, which is removed at the end.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { recordingOf } from '@espalier/contracts'
import { createEvaluator } from '@espalier/evaluator'
import { loadTokenizer, openModel } from '@espalier/model-graph'
import { createPrunableModel, rankModules, selectKeptIndices, uniformPolicy } from '@espalier/pruning'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/demo' },
    home: { type: 'string' },
    search: { type: 'string' },
    targets: { type: 'string', default: '0.2,0.35,0.5' },
    budget: { type: 'string', default: '99' },
    from: { type: 'string', default: '0.18' },
    to: { type: 'string', default: '0.52' },
    count: { type: 'string', default: '8' },
    rate: { type: 'string', default: '50' },
    seconds: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
})

const bin = fileURLToPath(new URL('../apps/cli/bin/espalier.js', import.meta.url))
const home = resolve(options.home ?? mkdtempSync(join(tmpdir(), 'espalier-generate-')))
const environment = { ...process.env, ESPALIER_HOME: home, ESPALIER_URL: '', NODE_OPTIONS: '' }

async function main() {
  const service = spawn(process.execPath, [bin, 'up', '--port', '0'], { env: environment, stdio: 'ignore' })
  try {
    await untilUp()
    const search = await finishedSearch()
    const [from, to, count] = [options.from, options.to, options.count].map(Number)
    const sparsities = Array.from({ length: count }, (_, index) => from + ((to - from) * index) / (count - 1))
    const { policies, range } = await ask(search, sparsities)
    const latency = await measureLatency(search, range)
    const rows = await measurePolicies(search, policies)
    if (options.json) console.log(JSON.stringify({ rows, latency }))
    else print(rows, latency)
  } finally {
    service.kill('SIGINT')
    await new Promise((ended) => service.once('close', ended))
    if (options.home === undefined) rmSync(home, { recursive: true })
  }
}

async function untilUp() {
  while (!existsSync(join(home, 'service.json')) || !existsSync(join(home, 'admin-key'))) await sleep(200)
  while (
    !(await request('GET', '/v1/searches').then(
      () => true,
      () => false,
    ))
  ) {
    await sleep(200)
  }
}

async function finishedSearch() {
  let id = options.search
  if (id === undefined) {
    const model = await request('POST', '/v1/models', { path: resolve(options.model) })
    const settings = { targets: options.targets.split(',').map(Number), budget: Number(options.budget), seed: 1 }
    id = (await request('POST', '/v1/searches', { model: model.id, ...settings, exports: [] })).id
  }
  for (;;) {
    const search = await request('GET', `/v1/searches/${id}`)
    if (search.state === 'SUCCEEDED') return search
    if (search.state === 'FAILED') throw new Error(search.error.message)
    await sleep(1000)
  }
}

async function request(method, path, body) {
  const { url } = JSON.parse(readFileSync(join(home, 'service.json'), 'utf8'))
  const key = readFileSync(join(home, 'admin-key'), 'utf8').trim()
  const answer = await fetch(new URL(path, url), {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  if (!answer.ok) throw new Error(await answer.text())
  return answer.json()
}

const ask = ({ id }, sparsities) => request('POST', `/v1/searches/${id}/policies:generate`, { sparsities })

/** Requests at a steady rate, each sent when its time has come, whether those before it are answered or not. */
async function measureLatency(search, { least, most }) {
  const [rate, seconds] = [Number(options.rate), Number(options.seconds)]
  const times = []
  const pending = []
  await ask(search, [most])
  const started = performance.now()
  for (let sentBefore = 0; sentBefore < rate * seconds; sentBefore++) {
    const due = started + (1000 * sentBefore) / rate
    while (performance.now() < due) await sleep(Math.max(0, due - performance.now()))
    const sparsity = least + (most - least) * ((sentBefore * 0.618034) % 1)
    const sent = performance.now()
    pending.push(ask(search, [sparsity]).then(() => times.push(performance.now() - sent)))
  }
  await Promise.all(pending)
  times.sort((a, b) => a - b)
  const quantile = (share) => times[Math.min(times.length - 1, Math.floor(share * times.length))]
  return { requests: times.length, rate, p50: quantile(0.5), p99: quantile(0.99), max: times.at(-1) }
}

async function measurePolicies({ settings, result }, policies) {
  const { shape } = await openModel(options.model)
  const model = createPrunableModel(shape)
  const tokenizer = await loadTokenizer(options.model)
  const idsOf = (split) => tokenizer.encode(readFileSync(settings.texts[split], 'utf8'))
  const evaluator = await createEvaluator({ modelDirectory: options.model })
  try {
    const { windowLength, calibrationWindows } = settings
    const { metric, compensation } = result.method
    const ids = await idsOf('calibration')
    const calibration = await evaluator.calibrate({
      ids,
      windowLength,
      windows: calibrationWindows,
      ...recordingOf(result.method),
    })
    const rankings = rankModules(metric, calibration.modules, model)
    const splits = { validation: await idsOf('validation'), test: await idsOf('test') }
    const measure = async (kept, split, windows) => {
      const keptIndices = selectKeptIndices(rankings, kept)
      const request = { keptIndices, calibration, compensation, metric, ids: splits[split], windowLength, windows }
      return (await evaluator.measure(request)).perplexity
    }
    const testWindows = Math.floor(splits.test.length / windowLength)
    const rows = []
    for (const { sparsityTarget, keptUnits, predicted, speedup } of policies) {
      const validation = await measure(keptUnits, 'validation', settings.validationWindows)
      const uniform = uniformPolicy(model, sparsityTarget)
      rows.push({
        sparsity: sparsityTarget,
        predicted: predicted.perplexity,
        low: predicted.low,
        high: predicted.high,
        validation,
        uniformValidation: await measure(uniform, 'validation', settings.validationWindows),
        test: await measure(keptUnits, 'test', testWindows),
        uniformTest: await measure(uniform, 'test', testWindows),
        speedup,
      })
    }
    return rows
  } finally {
    await evaluator.close()
  }
}

function print(rows, { requests, rate, p50, p99, max }) {
  const cells = (row) => [
    `${(100 * row.sparsity).toFixed(1)} %`,
    `${row.predicted.toFixed(2)} (${row.low.toFixed(2)} to ${row.high.toFixed(2)})`,
    ...[row.validation, row.uniformValidation, row.test, row.uniformTest].map((value) => value.toFixed(2)),
    row.speedup.toFixed(2),
  ]
  console.log('| sparsity | predicted (90 %) | measured | uniform | test | uniform, test | speed-up by operations |')
  console.log('| ---: | ---: | ---: | ---: | ---: | ---: | ---: |')
  for (const row of rows) console.log(`| ${cells(row).join(' | ')} |`)
  const shown = [p50, p99, max].map((ms) => ms.toFixed(1))
  console.log(`\n${requests} requests at ${rate} a second: p50 ${shown[0]} ms, p99 ${shown[1]} ms, max ${shown[2]} ms`)
}

await main()
