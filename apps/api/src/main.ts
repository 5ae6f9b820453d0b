import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import { createQueue } from '@espalier/queue'
import {
  type Configuration,
  createLogger,
  type Logger,
  loadConfiguration,
  type Running,
  runUntilStopped,
} from '@espalier/runtime'
import { applyMigrations, createStore } from '@espalier/store'
import { createApp } from './app.js'
import { registerApi } from './register-api.js'
import { serviceDefaults } from './services.js'

const defaultPort = 7077

async function readVersion(): Promise<string> {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8')
  const manifest: unknown = JSON.parse(text)
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown'
}

async function start(configuration: Configuration, logger: Logger): Promise<Running> {
  const { databaseUrl, redisUrl, home, artifacts, host, node } = configuration
  if (databaseUrl === null) {
    throw new EspalierError('CONFIGURATION_INVALID', 'DATABASE_URL is not set; `espalier up` starts a database itself')
  }
  await applyMigrations(databaseUrl)
  const store = createStore({ databaseUrl })
  const queue = createQueue({ databaseUrl, redisUrl, onError: (err) => logger.warn({ err }, 'queue trouble') })
  const services = {
    ...serviceDefaults,
    store,
    queue,
    artifacts,
    uploads: join(home, 'uploads'),
    hub: { ...configuration.hub, archives: join(home, 'archives') },
    version: await readVersion(),
  }
  const api = await createApp(services, logger)
  const url = await api.listen({ host, port: configuration.port ?? defaultPort })
  const registration = await registerApi(store.workers, { node, url, logger })
  return {
    async stop() {
      await registration.stop()
      await api.close()
      await queue.close()
      await store.close()
    },
  }
}

const configuration = loadConfiguration()
const logger = createLogger('api', configuration)
await runUntilStopped({ name: 'api', logger, start: () => start(configuration, logger) })
