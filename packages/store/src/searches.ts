import { EspalierError, type RecordedError, type SearchState, terminalSearchStates } from '@espalier/contracts'
import { advanceSearch } from './advance-search.js'
import type { Database, Queryable } from './database.js'
import { loadEarlierEvaluations } from './earlier-evaluations.js'
import { appendEvents } from './events.js'
import { createId } from './ids.js'
import { toJson } from './json.js'
import { pageArguments, toPage } from './page.js'
import type { SearchRow } from './records.js'
import { cancelPendingSteps, endedStates, loadSearchSteps, readSearchSteps, toSearch, unlisted } from './search-rows.js'
import type { SearchStore } from './store.js'

export function createSearchStore(database: Database): SearchStore {
  const { client, transaction } = database
  return {
    create: ({ teamId, modelId, settings, name }) =>
      transaction(async (tx) => {
        const model = await tx.model.findFirst({ where: { teamId, id: modelId }, select: { id: true } })
        if (model === null) throw new EspalierError('MODEL_NOT_FOUND', `There is no model '${modelId}'.`, { modelId })
        const row = await tx.search.create({
          data: { id: createId('sea'), teamId, modelId, name: name ?? null, settings: toJson(settings) },
          omit: unlisted,
        })
        await appendEvents(tx, { searchId: row.id, teamId }, [stateEvent(row.state, null)])
        return toSearch(row)
      }),

    get: (teamId, id) => getSearch(client, teamId, id),

    async list(teamId, page = {}) {
      const { after, ...order } = pageArguments(page)
      const rows = await client.search.findMany({ where: { teamId, ...after }, ...order, omit: unlisted })
      return toPage(rows, page, toSearch)
    },

    requestPause: (teamId, id) => changeState(database, { teamId, id, verb: 'paused', next: pausedState }),
    requestResume: (teamId, id) => changeState(database, { teamId, id, verb: 'resumed', next: resumedState }),
    requestCancel: (teamId, id) => changeState(database, { teamId, id, verb: 'cancelled', next: cancelledState }),

    async fail(searchId, error) {
      await transaction(async (tx) => failSearch(tx, searchId, error))
    },

    async listActive() {
      const rows = await client.search.findMany({
        where: { state: { notIn: [...terminalSearchStates, 'PAUSED'] } },
        orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
        select: { id: true },
      })
      return rows.map((row) => row.id)
    },

    async setWaitReason(searchId, reason) {
      await client.$executeRaw`
        UPDATE "Search" SET "waitReason" = ${reason}, "updatedAt" = now()
        WHERE id = ${searchId} AND "waitReason" IS DISTINCT FROM ${reason} AND state NOT IN ${endedStates}`
    },

    async countSteps(teamId, id) {
      const counts = await client.step.groupBy({ by: ['kind', 'state'], where: { teamId, searchId: id }, _count: true })
      return [...new Set(counts.map((row) => row.kind))].map((kind) => {
        const count = (state: string) => counts.find((row) => row.kind === kind && row.state === state)?._count ?? 0
        return {
          kind,
          pending: count('PENDING'),
          running: count('RUNNING'),
          done: count('DONE'),
          failed: count('FAILED'),
          cancelled: count('CANCELLED'),
        }
      })
    },

    async loadRecord(searchId) {
      const row = await client.search.findUnique({
        where: { id: searchId },
        select: { id: true, settings: true, transfer: true, model: { select: { shape: true } } },
      })
      if (row === null) throw searchNotFound(searchId)
      const record = await loadSearchSteps(client, { id: row.id, settings: row.settings, shape: row.model.shape })
      const earlier = await loadEarlierEvaluations(client, row.transfer)
      return earlier ? { ...record, earlier } : record
    },

    readSteps: (searchId) => readSearchSteps(client, searchId),

    loadEarlier: async (searchId) => {
      const row = await client.search.findUnique({ where: { id: searchId }, select: { transfer: true } })
      if (row === null) throw searchNotFound(searchId)
      return (await loadEarlierEvaluations(client, row.transfer)) ?? []
    },

    advance: (searchId, plan) => advanceSearch(database, searchId, plan),
  }
}

const searchNotFound = (id: string) =>
  new EspalierError('RESOURCE_NOT_FOUND', `There is no search '${id}'.`, { searchId: id })

const stateEvent = (state: SearchState, previous: SearchState | null) => ({ type: 'state', data: { state, previous } })

async function getSearch(queryable: Queryable, teamId: string, id: string): Promise<SearchRow> {
  const row = await queryable.search.findFirst({ where: { teamId, id }, omit: unlisted })
  if (row === null) throw searchNotFound(id)
  return toSearch(row)
}

/** Each gives the next state, or undefined when the present one does not allow it. */
type NextState = (search: SearchRow) => SearchState | undefined

const isEnded = (search: SearchRow) => terminalSearchStates.includes(search.state)
const pausedState: NextState = (search) => (isEnded(search) || search.state === 'PAUSED' ? undefined : 'PAUSED')
const resumedState: NextState = (search) =>
  search.state === 'PAUSED' ? (search.stateBeforePause ?? undefined) : undefined
const cancelledState: NextState = (search) => (isEnded(search) ? undefined : 'CANCELLED')

interface StateChange {
  readonly teamId: string
  readonly id: string
  /** Completes "cannot be …". */
  readonly verb: string
  readonly next: NextState
}

function changeState({ transaction }: Database, { teamId, id, verb, next }: StateChange): Promise<SearchRow> {
  return transaction(async (tx) => {
    // Waits for a planner or another request; what is read next is then what they have left.
    await tx.$executeRaw`SELECT 1 FROM "Search" WHERE id = ${id} AND "teamId" = ${teamId} FOR NO KEY UPDATE`
    const search = await getSearch(tx, teamId, id)
    const state = next(search)
    if (state === undefined) {
      throw new EspalierError('SEARCH_STATE_CONFLICT', `Search '${id}' is ${search.state} and cannot be ${verb}.`, {
        searchId: id,
        state: search.state,
      })
    }
    await tx.$executeRaw`
      UPDATE "Search" SET
        state = ${state}::"SearchState",
        "stateBeforePause" = ${state === 'PAUSED' ? search.state : null}::"SearchState",
        "waitReason" = NULL,
        "finishedAt" = CASE WHEN ${state} = 'CANCELLED' THEN now() END,
        "updatedAt" = now()
      WHERE id = ${id}`
    if (state === 'CANCELLED') await cancelPendingSteps(tx, id)
    await appendEvents(tx, { searchId: id, teamId }, [stateEvent(state, search.state)])
    return getSearch(tx, teamId, id)
  })
}

async function failSearch(tx: Queryable, searchId: string, error: RecordedError): Promise<void> {
  const [failed] = await tx.$queryRaw<{ teamId: string; previous: SearchState }[]>`
    WITH before AS (SELECT id, state FROM "Search" WHERE id = ${searchId} FOR NO KEY UPDATE)
    UPDATE "Search" s SET
      state = 'FAILED', error = ${JSON.stringify(error)}::jsonb, "waitReason" = NULL, "finishedAt" = now(), "updatedAt" = now()
    FROM before WHERE s.id = before.id AND before.state NOT IN ${endedStates}
    RETURNING s."teamId", before.state AS previous`
  if (failed === undefined) return
  await cancelPendingSteps(tx, searchId)
  await appendEvents(tx, { searchId, teamId: failed.teamId }, [
    { type: 'state', data: { state: 'FAILED', previous: failed.previous, error } },
  ])
}
