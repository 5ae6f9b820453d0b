import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, it } from '@jest/globals'
import { createHome, evaluationsOf, startService, submitSearch, untilEnded } from './running-service.js'

const databaseServer = process.env.ESPALIER_TEST_EXTERNAL_DATABASE_URL
const redisUrl = process.env.ESPALIER_TEST_REDIS_URL
const databaseUrl =
  databaseServer && Object.assign(new URL(databaseServer), { pathname: `/espalier_${randomUUID()}` }).href

const combinations = [
  { name: 'an external Postgres', needs: databaseUrl, environment: { DATABASE_URL: databaseUrl ?? '' } },
  { name: 'Redis', needs: redisUrl, environment: { REDIS_URL: redisUrl ?? '' } },
]

/** `.ci/run` starts Debian's servers and names them; without them these tests are skipped, loudly. */
describe('a search on external servers gives what it gives on the embedded ones', () => {
  let embedded: Awaited<ReturnType<typeof searchOn>>

  beforeAll(async () => {
    if (combinations.some(({ needs }) => needs)) embedded = await searchOn({})
  }, 240_000)

  for (const { name, needs, environment } of combinations) {
    if (!needs) process.stderr.write(`SKIPPED: no address of ${name} was given\n`)
    const run = needs ? it : it.skip
    run(
      name,
      async () => {
        const external = await searchOn(environment)
        expect(external.state).toBe('SUCCEEDED')
        expect(external.evaluations).toEqual(embedded.evaluations)
      },
      240_000,
    )
  }
})

async function searchOn(environment: Record<string, string>) {
  const service = await startService(createHome(), environment)
  try {
    const id = await submitSearch(service)
    const { state } = await untilEnded(service, id)
    return { state, evaluations: await evaluationsOf(service, id) }
  } finally {
    await service.stop()
  }
}
