import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { childEnvironment } from '@espalier/runtime'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'

const bin = fileURLToPath(new URL('../../bin/espalier.js', import.meta.url))
const demo = fileURLToPath(new URL('../../../../models/demo/', import.meta.url))
const folders: Readonly<Record<string, string>> = {
  ...{ demo, texts: join(demo, 'texts') },
  tasks: fileURLToPath(new URL('../../../../packages/tasks/fixtures/documents/', import.meta.url)),
}
const commit = 'c0ffee00'.repeat(5)
const token = 'hf_test'
const modelFiles = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors']

/** A hub with the bundled model and its texts as a data set; the tests of model-hub have all that can go wrong. */
function createHub(): Server {
  return createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://hub')
    if (request.headers.authorization !== `Bearer ${token}`) return response.writeHead(401).end()
    if (pathname === '/api/models/acme/demo/revision/main') {
      const siblings = [...modelFiles, 'README.md', 'pytorch_model.bin'].map((rfilename) => ({ rfilename }))
      return response.end(JSON.stringify({ sha: commit, siblings }))
    }
    const [, , repository = '', name = ''] =
      /^\/(datasets\/)?acme\/(demo|texts|tasks)\/resolve\/[^/]+\/([\w.]+)$/.exec(pathname) ?? []
    if (name === '') return response.writeHead(404).end()
    const bytes = readFileSync(join(folders[repository] ?? '', name))
    const etag = createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
    response.writeHead(200, { etag: `"${etag}"`, 'x-repo-commit': commit, 'content-length': bytes.length })
    return response.end(request.method === 'HEAD' ? undefined : bytes)
  })
}

let hub: Server
let home: string
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'espalier-fetch-'))
  hub = createHub()
  await once(hub.listen(0, '127.0.0.1'), 'listening')
})
afterAll(async () => {
  hub.close()
  await rm(home, { recursive: true, force: true })
})

async function run(args: readonly string[], more: Record<string, string> = {}) {
  const { port } = hub.address() as AddressInfo
  const env = childEnvironment({
    ...{ HF_HOME: join(home, 'hf'), HF_ENDPOINT: `http://127.0.0.1:${port}`, HF_TOKEN: token },
    ...{ ESPALIER_HOME: join(home, 'espalier'), NODE_OPTIONS: '', ...more },
  })
  return promisify(execFile)(process.execPath, [bin, ...args], { env }).then(
    ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  )
}

const ppl = ['--window', '128', '--windows', '4', '--json']

describe('documents of a task by their address', () => {
  it('are downloaded, and measured like a file', async () => {
    const task = ['tasks', 'demo', '--task', 'boolq', '--limit', '2', '--json', '--data']
    const fetched = await run([...task, 'hf://datasets/acme/tasks/boolq.parquet'])
    expect(fetched).toMatchObject({ code: 0 })
    const local = await run([...task, join(folders.tasks ?? '', 'boolq.jsonl')])
    const report = JSON.parse(fetched.stdout)
    expect(report).toMatchObject({ protocol: 'lm-evaluation-harness 0.4.13, 0-shot', policy: null })
    expect(report.tasks).toMatchObject([{ task: 'boolq', dense: { documents: 2, acc_norm: null } }])
    expect(report.tasks[0].dense).toEqual(JSON.parse(local.stdout).tasks[0].dense)
    expect(report.tasks[0].files[0]).toContain('datasets--acme--tasks')
  })
})

describe('a model by its address', () => {
  it('is downloaded, measured like a folder, and there the next time', async () => {
    const fetched = await run(['ppl', 'hf://acme/demo', '--text', 'hf://datasets/acme/texts/test.txt', ...ppl])
    expect(fetched).toMatchObject({ code: 0 })
    expect(fetched.stderr).toContain(`snapshots/${commit} (${commit.slice(0, 12)})`)
    const local = await run(['ppl', 'demo', '--text', join(demo, 'texts', 'test.txt'), ...ppl])
    expect(JSON.parse(fetched.stdout).nll).toEqual(JSON.parse(local.stdout).nll)
    const snapshot = join(home, 'hf', 'hub', 'models--acme--demo', 'snapshots', commit)
    expect((await readdir(snapshot)).sort()).toEqual([...modelFiles].sort())
    const nowhere = { HF_HUB_OFFLINE: '1', HF_ENDPOINT: 'http://127.0.0.1:9' }
    const offline = await run(['inspect', 'hf://acme/demo', '--json'], nowhere)
    expect(JSON.parse(offline.stdout)).toMatchObject({ directory: snapshot, layers: 8 })
  })

  it('that cannot be had ends in an error that says why, and shows no token', async () => {
    const denied = await run(['inspect', 'hf://acme/other'], { HF_TOKEN: 'hf_wrong' })
    expect(denied).toMatchObject({ code: 1 })
    expect(denied.stderr).toMatch(/refuses the token given.*MODEL_ACCESS_DENIED/s)
    expect(denied.stderr).not.toContain('hf_wrong')
    const search = await run(['search', 'hf://acme/demo'])
    expect(search.stderr).toContain('hf://acme/demo has no texts of its own: give --calibration FILE')
  })
})
