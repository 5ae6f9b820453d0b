import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createSearchPlanner } from '@espalier/search'
import pg from 'pg'
import { createAdvancer } from '../../apps/dispatcher/dist/create-advancer.js'
import { median } from '../search/median.mjs'
import { createSearch, planOf, withServiceDatabase } from './service-database.mjs'
import { stopwatch } from './stopwatch.mjs'

/** What one collection of garbage sets free, the next may. */
const COLLECTIONS = 3
/** A look at the heap each so many steps; garbage does not count. */
const STEPS_A_LOOK = 5000
/** Looks of a dispatcher at a search in which nothing has changed. */
const IDLE_LOOKS = 9

/**
 * Plans searches that have measured so many policies, as the dispatcher does, from the rows of an embedded Postgres.
 * @returns for each number of evaluations the seconds of one plan, the milliseconds of a look of the dispatcher when
 *   nothing has changed since, and the megabytes of heap at most while the steps were
 *   read, and still held when the plan was made
 */
export function planMany(shape, settings, counts) {
  return withServiceDatabase(async ({ store, databaseUrl }) => {
    const client = new pg.Client({ connectionString: databaseUrl })
    await client.connect()
    const rows = []
    try {
      for (const evaluations of counts) {
        const search = await createSearch(store, shape, { ...settings, budget: 2 * evaluations })
        await store.searches.advance(search.id, () => planOf([{ kind: 'prepare', round: 0, index: 0, payload: {} }]))
        await client.query(prepared, [search.id])
        await client.query(measured, [
          search.id,
          search.teamId,
          evaluations,
          shape.layers,
          shape.kvHeads,
          shape.ffnChannels,
        ])
        rows.push({ evaluations, ...(await planOnce(store, search.id)), idleMs: await lookIdly(store, search.id) })
      }
    } finally {
      await client.end()
    }
    return rows
  })
}

async function planOnce(store, searchId) {
  const before = heapNow()
  const planning = stopwatch()
  let most = before
  let planner
  await store.searches.advance(searchId, async (source) => {
    planner = createSearchPlanner(source)
    let count = 0
    for await (const step of source.steps) {
      planner.add(step)
      if (++count % STEPS_A_LOOK === 0) most = Math.max(most, heapNow())
    }
    return planner.plan(source.earlier)
  })
  const { clock } = planning()
  const held = heapNow()
  // Used once more, so that the planner is still there when the heap is looked at.
  const { progress } = planner.plan()
  return {
    seconds: clock,
    most: megabytes(most - before),
    held: megabytes(held - before),
    done: progress.evaluationsDone,
  }
}

async function lookIdly(store, searchId) {
  const queue = { wake: async () => {} }
  const advancer = createAdvancer({ store, queue, logger: { info() {}, error() {} } })
  await advancer.advance(searchId)
  const looks = []
  for (let look = 0; look < IDLE_LOOKS; look++) {
    const looking = stopwatch()
    await advancer.advance(searchId)
    looks.push(1000 * looking().clock)
  }
  return median(looks)
}

const megabytes = (bytes) => bytes / 2 ** 20

function heapNow() {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc')
  for (let pass = 0; pass < COLLECTIONS; pass++) collect()
  return process.memoryUsage().heapUsed
}

const split = `'{"artifact": "a", "textHash": "b", "tokens": 16384, "windows": 64}'::jsonb`
const prepared = `
  UPDATE "Step" SET state = 'DONE', result = jsonb_build_object('modelHash', 'c', 'calibration', 'd', 'seconds', 1,
    'splits', jsonb_build_object('calibration', ${split}, 'validation', ${split}, 'test', ${split}))
  WHERE "searchId" = $1 AND kind = 'prepare'`
/** Evaluations of random policies, all ended. */
const measured = `
  INSERT INTO "Step" (id, "searchId", "teamId", round, kind, index, state, payload, result)
  SELECT $1 || '_' || n, $1, $2, 0, 'evaluate', n, 'DONE',
    jsonb_build_object('purpose', 'random', 'targetIndex', n % 3, 'sparsity', 0.3, 'split', 'validation', 'windows', 16,
      'predicted', NULL, 'method', '{"metric": "wanda", "compensation": "mean"}'::jsonb,
      'keptUnits', (SELECT jsonb_agg(floor(random() * CASE WHEN m % 2 = 0 THEN $5 + 1 ELSE $6 + 1 END)::int)
        FROM generate_series(0, 2 * $4 - 1) m WHERE n IS NOT NULL)),
    jsonb_build_object('logPerplexity', 3 + random(), 'perplexity', 20, 'tokens', 4080, 'seconds', 1,
      'nll', (SELECT jsonb_agg(700 + random()) FROM generate_series(1, 16) w WHERE n IS NOT NULL))
  FROM generate_series(0, $3::int - 1) n`
