import { randomUUID } from 'node:crypto'
import { describe, expect, it } from '@jest/globals'
import {
  createHome,
  evaluationsOf,
  type RunningService,
  startService,
  submitSearch,
  untilEnded,
} from './running-service.js'

const databaseServer = process.env.ESPALIER_TEST_EXTERNAL_DATABASE_URL
const redisUrl = process.env.ESPALIER_TEST_REDIS_URL
const databaseUrl =
  databaseServer && Object.assign(new URL(databaseServer), { pathname: `/espalier_${randomUUID()}` }).href

const combinations = [
  { name: 'an external Postgres', needs: databaseUrl, environment: { DATABASE_URL: databaseUrl ?? '' } },
  { name: 'Redis', needs: redisUrl, environment: { REDIS_URL: redisUrl ?? '' } },
]

/** `.ci/run` starts Debian's servers and names them; without them these tests are skipped, loudly. */
describe.each(combinations)('a search on $name', ({ name, needs, environment }) => {
  const run = needs ? it : it.skip
  if (!needs) process.stderr.write(`SKIPPED: no address of ${name} was given\n`)

  run(
    'gives what it gives on the embedded servers',
    async () => {
      const settings = { targets: [0.4], budget: 24 }
      const external = await searchOn(await startService(createHome(), environment), settings)
      const embedded = await searchOn(await startService(createHome()), settings)
      expect(external.state).toBe('SUCCEEDED')
      expect(external.evaluations).toEqual(embedded.evaluations)
    },
    240_000,
  )
})

async function searchOn(service: RunningService, settings: Record<string, unknown>) {
  try {
    const id = await submitSearch(service, settings)
    const { state } = await untilEnded(service, id)
    return { state, evaluations: await evaluationsOf(service, id) }
  } finally {
    await service.stop()
  }
}
