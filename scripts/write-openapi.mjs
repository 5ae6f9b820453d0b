/** Writes the OpenAPI document of the API to docs/openapi.json; needs a build. With --check it only compares. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
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
const services = { ...serviceDefaults, store, queue, artifacts: '/', uploads: '/', version: manifest.version }
const api = await createApp(services, createLogger('api', { logLevel: 'warn', node: 'documentation' }))
await api.ready()
const text = `${JSON.stringify(api.swagger(), null, 2)}\n`
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
