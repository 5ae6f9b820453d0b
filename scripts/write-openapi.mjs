/** Writes the OpenAPI document of the API to docs/openapi.json; needs a build. With --check it only compares. */
import { execFileSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { createApp } from '../apps/api/dist/app.js'
import { serviceDefaults } from '../apps/api/dist/services.js'
import { createQueue } from '../packages/queue/dist/index.js'
import { createLogger } from '../packages/runtime/dist/index.js'
import { createStore } from '../packages/store/dist/index.js'

const target = new URL('../docs/openapi.json', import.meta.url)
const manifest = JSON.parse(await readFile(new URL('../apps/api/package.json', import.meta.url), 'utf8'))

// both connect at their first use, which the document is not
const databaseUrl = 'postgresql://localhost/never-connected'
const store = createStore({ databaseUrl })
const queue = createQueue({ databaseUrl })
const folders = { artifacts: '/', uploads: '/', hub: { home: '/', archives: '/' } }
const services = { ...serviceDefaults, store, queue, ...folders, version: manifest.version }
const api = await createApp(services, createLogger('api', { logLevel: 'warn', node: 'documentation' }))
await api.ready()
const text = format(JSON.stringify(api.swagger()))
await api.close()
await queue.close()
await store.close()

if (process.argv.includes('--check')) {
  if ((await readFile(target, 'utf8')) !== text) {
    console.error('docs/openapi.json is not what the API says: run node scripts/write-openapi.mjs')
    process.exitCode = 1
  }
} else {
  await mkdir(new URL('.', target), { recursive: true })
  await writeFile(target, text)
}

/** As the linter wants it. */
function format(json) {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const options = { cwd: root, input: json, encoding: 'utf8', maxBuffer: 2 ** 24 }
  return execFileSync(
    process.execPath,
    ['node_modules/@biomejs/biome/bin/biome', 'format', '--stdin-file-path=docs/openapi.json'],
    options,
  )
}
