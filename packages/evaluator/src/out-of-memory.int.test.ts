import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { createSmallModel, vocabulary } from './small-model.test-support.js'

/** So wide that the activations of one window of 64 tokens take some 80 MB. */
const channels = 100_000
const windows = 16
const windowLength = 64

/** Measures within a real limit on the memory of its process, set once everything is loaded. */
const script = `
  import { execFileSync } from 'node:child_process'
  import { readFileSync } from 'node:fs'
  import { createEvaluator } from ${JSON.stringify(fileURLToPath(new URL('../dist/index.js', import.meta.url)))}
  const [modelDirectory, room] = process.argv.slice(2)
  const [windows, windowLength] = [${windows}, ${windowLength}]
  const ids = Int32Array.from({ length: windows * windowLength }, (_, i) => (i * 7919 + 13) % ${vocabulary})
  const request = { ids, keptIndices: null, calibration: null }
  const evaluator = await createEvaluator({ modelDirectory, threads: 1, batchWindows: windows })
  await evaluator.measure({ ...request, windowLength: 2, windows: 1 })
  const used = Number(readFileSync('/proc/self/status', 'utf8').match(/VmSize:\\s+(\\d+) kB/)[1]) * 1024
  if (room !== 'all') execFileSync('prlimit', ['--pid', process.pid, '--as=' + (used + Number(room))])
  const progress = []
  const onProgress = (windowsDone) => progress.push(windowsDone)
  const result = await evaluator.measure({ ...request, windowLength, windows, onProgress }).catch((error) => error)
  const { nll, code, message, details } = result
  console.log(JSON.stringify({ progress, nll, code, message, details }))
  process.exit(0)`

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'espalier-memory-'))
  const { single } = await createSmallModel(channels)
  for (const [name, bytes] of single) await writeFile(join(folder, name), bytes)
  await writeFile(join(folder, 'measure.mjs'), script)
})
afterAll(() => rm(folder, { recursive: true }))

async function measureWithin(room: number | 'all') {
  const args = [join(folder, 'measure.mjs'), folder, String(room)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, NODE_OPTIONS: '' } })
  return JSON.parse(stdout)
}

const onLinux = process.platform === 'linux' ? it : it.skip

onLinux('goes on with smaller batches when memory runs out, and gives the same numbers', async () => {
  const free = await measureWithin('all')
  const limited = await measureWithin(500e6)
  expect(free.progress).toEqual([windows])
  expect(limited.progress.length).toBeGreaterThan(1)
  expect(limited.nll).toHaveLength(windows)
  for (const [window, nll] of limited.nll.entries()) expect(nll / free.nll[window]).toBeCloseTo(1, 5)
})

onLinux('fails with the numbers when not even one window fits', async () => {
  expect(await measureWithin(40e6)).toMatchObject({
    code: 'EVALUATION_OUT_OF_MEMORY',
    message: expect.stringMatching(/window of 64 tokens needs about .* GB on cpu/),
    details: { neededBytes: expect.any(Number), windowLength, provider: 'cpu' },
  })
})
