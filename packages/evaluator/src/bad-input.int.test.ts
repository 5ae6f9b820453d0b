import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { errorCatalogue } from '@espalier/contracts'
import { createRandomGenerator } from '@espalier/pruning'
import { afterAll, beforeAll, expect, it } from '@jest/globals'
import { createEvaluator } from './create-evaluator.js'
import { type Mutation, mutationSources } from './mutate-model.test-support.js'
import { createSmallModel, type ModelFiles } from './small-model.test-support.js'

const seed = 1
const limitMs = 20_000
const childFile = new URL('../fixtures/measure-folders.mjs', import.meta.url)
const ids = Array.from({ length: 64 }, (_, index) => (index * 37) % 256)
const request = { ids, windowLength: 16, windows: 2 }

interface Outcome {
  readonly kind: 'works' | 'refused' | 'crashed' | 'hung'
  readonly perplexity?: number
  readonly name?: string
  readonly code?: keyof typeof errorCatalogue
  readonly message?: string
  readonly stack?: string
  readonly details?: Readonly<Record<string, unknown>>
  readonly opened?: readonly string[]
}

let scratch: string
let models: { single: ModelFiles; sharded: ModelFiles }
let child: ChildProcess | null = null
beforeAll(async () => {
  scratch = await realpath(await mkdtemp(join(tmpdir(), 'espalier-bad-')))
  models = await createSmallModel()
  await writeFiles(join(scratch, 'outside'), new Map([...models.sharded, ...models.single]))
})
afterAll(async () => {
  child?.disconnect()
  await rm(scratch, { recursive: true })
})

async function writeFiles(folder: string, files: ModelFiles): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, bytes] of files) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), bytes)
  }
}

async function perform(folder: string, mutation: Mutation): Promise<Outcome> {
  const settled = new AbortController()
  const { signal } = settled
  if (child === null) {
    child = fork(childFile, { execArgv: [], serialization: 'advanced', stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    await once(child, 'message')
  }
  const running = child
  running.send({ folder, ...request, ...mutation.request })
  try {
    return await Promise.race([
      once(running, 'message', { signal }).then(([outcome]): Outcome => outcome),
      once(running, 'exit', { signal }).then((): Outcome => ({ kind: 'crashed' })),
      wait(limitMs, { kind: 'hung' } as const, { signal }),
    ]).then((outcome) => {
      if (outcome.kind === 'hung') running.kill('SIGKILL')
      if (outcome.kind === 'hung' || outcome.kind === 'crashed') child = null
      return outcome
    })
  } finally {
    settled.abort()
  }
}

/** What is wrong with how a mutation went; null: nothing. */
function judge(folder: string, { expected }: Mutation, outcome: Outcome): string | null {
  const roots = [folder, join(folder, '../../blobs')]
  const outside = (outcome.opened ?? []).filter((path) => !roots.some((root) => path.startsWith(root + sep)))
  if (outside.length > 0) return `opened ${outside.join(', ')}`
  if (outcome.kind === 'works') {
    return expected !== 'refused' && Number.isFinite(outcome.perplexity) ? null : `gave ${outcome.perplexity}`
  }
  if (outcome.kind !== 'refused') return outcome.kind
  const { name, code, message = '', details = {} } = outcome
  const said = `said ${name} ${code}: ${message}`
  if (expected === 'works') return said
  if (name !== 'EspalierError' || code === undefined || !(code in errorCatalogue)) return `${said} ${outcome.stack}`
  if (['INTERNAL', 'EVALUATION_FAILED'].includes(code)) return said
  if (message.length > 1500 || JSON.stringify(details).length > 2500) return `said too much: ${message.slice(0, 300)}`
  if (/[\p{Cc}\p{Cs}]/u.test(message + JSON.stringify(details))) return `${said}: control characters`
  const namesFile = ['file', 'expected', 'found'].every((key) => key in details)
  const needsFile = code.startsWith('MODEL_') && code !== 'MODEL_WINDOW_TOO_LONG'
  return needsFile && !namesFile ? `${said}: without file, expected, found` : null
}

it('refuses or measures a thousand wrong model folders, and neither hangs, crashes nor reads outside', async () => {
  const wrong: string[] = []
  const counts: Record<string, number> = {}
  for (const [kind, { count, mutate }] of mutationSources.entries()) {
    for (let index = 0; index < count; index++) {
      const mutation = mutate(models, createRandomGenerator(seed, kind, index))
      const place = join(scratch, `m${kind}-${index}`)
      const folder = join(place, mutation.subfolder ?? '')
      await writeFiles(folder, mutation.files)
      for (const [name, target] of Object.entries(mutation.links ?? {})) await symlink(target, join(folder, name))
      for (const name of mutation.pipes ?? []) execFileSync('mkfifo', [join(folder, name)])
      const outcome = await perform(folder, mutation)
      await rm(place, { recursive: true })
      const fault = judge(folder, mutation, outcome)
      if (fault !== null) wrong.push(`${kind}-${index} ${mutation.name}: ${fault}`)
      const key = outcome.code ?? outcome.kind
      counts[key] = (counts[key] ?? 0) + 1
    }
  }
  expect(wrong).toEqual([])
  // The mutations are of both kinds: not everything is refused at the door, and not everything is harmless.
  expect(counts.works).toBeGreaterThan(50)
  expect(Object.keys(counts).length).toBeGreaterThan(10)
}, 120_000)

it('names the first tensor that holds a number that is not finite, from the thread of an evaluator', async () => {
  const folder = join(scratch, 'not-finite')
  await writeFiles(folder, models.single)
  const bytes = Buffer.from(models.single.get('model.safetensors') ?? '')
  const header = 8 + Number(bytes.readBigUInt64LE(0))
  const places = JSON.parse(bytes.toString('utf8', 8, header))
  for (const name of ['lm_head.weight', 'model.layers.1.mlp.up_proj.weight']) {
    // Row 3, column 5 of [*, 16].
    bytes.writeFloatLE(Number.POSITIVE_INFINITY, header + places[name].data_offsets[0] + 4 * (3 * 16 + 5))
  }
  await writeFile(join(folder, 'model.safetensors'), bytes)
  const evaluator = await createEvaluator({ modelDirectory: folder, threads: 1 })
  const tokens = { ...request, ids: Int32Array.from(ids) }
  const expected = {
    code: 'EVALUATION_NOT_FINITE',
    details: { file: join(folder, 'model.safetensors'), tensor: 'model.layers.1.mlp.up_proj.weight', position: [3, 5] },
  }
  await expect(evaluator.measure({ ...tokens, keptIndices: null, calibration: null })).rejects.toMatchObject(expected)
  await expect(evaluator.calibrate(tokens)).rejects.toMatchObject(expected)
  await evaluator.close()
})
