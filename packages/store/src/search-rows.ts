import type {
  ModelShape,
  RecordedError,
  SearchProgress,
  SearchRecord,
  SearchResult,
  SearchSettings,
  StepRecord,
} from '@espalier/contracts'
import type { Queryable } from './database.js'
import { Prisma, type Search, type Step } from './generated/prisma/client.js'
import { fromJson } from './json.js'
import { unpackResult } from './packed-result.js'
import type { OpenStep, SearchRow } from './records.js'

/** For raw SQL: states of a search in which nothing happens any more. */
export const endedStates = Prisma.sql`('SUCCEEDED', 'CANCELLED', 'FAILED')`
/** For raw SQL: states of a search in which no step starts. */
export const idleStates = Prisma.sql`('SUCCEEDED', 'CANCELLED', 'FAILED', 'PAUSED')`

/** Long lists that only planners need. */
export const unlisted = { transfer: true } as const

export function toSearch(row: Omit<Search, keyof typeof unlisted>): SearchRow {
  return {
    ...row,
    settings: fromJson<SearchSettings>(row.settings),
    progress: fromJson<SearchProgress | null>(row.progress),
    result: fromJson<SearchResult | null>(row.result),
    error: fromJson<RecordedError | null>(row.error),
  }
}

/** All steps of a search with its settings and shape, ordered by round, kind and index. */
export async function loadSearchSteps(
  queryable: Queryable,
  { id, settings, shape }: { readonly id: string; readonly settings: unknown; readonly shape: unknown },
): Promise<Omit<SearchRecord, 'earlier'>> {
  const rows = await queryable.step.findMany({
    where: { searchId: id },
    orderBy: [{ round: 'asc' }, { kind: 'asc' }, { index: 'asc' }],
    select: recorded,
  })
  return {
    settings: fromJson<SearchSettings>(settings),
    shape: fromJson<ModelShape>(shape),
    steps: rows.map(toStepRecord),
  }
}

/** Steps that are in memory together. */
const STEPS_A_PAGE = 500

/**
 * The steps of a search in the same order, a page at a time. Proposals that were chosen from already are not read:
 * they are far longer than all else, and nobody asks for them again.
 */
export async function* readSearchSteps(queryable: Queryable, searchId: string): AsyncGenerator<StepRecord, void> {
  let last: Pick<RecordedRow, 'round' | 'kind' | 'index'> | undefined = { round: -1, kind: 'prepare', index: -1 }
  while (last) {
    const { round, kind, index } = last
    const rows: RecordedRow[] = await queryable.$queryRaw`
      SELECT s.kind::text, s.round, s.index, s.state::text, s.payload, s.error, s.activity,
        CASE WHEN s.kind IN ('propose', 'score') AND EXISTS (
          SELECT 1 FROM "Step" e WHERE e."searchId" = s."searchId" AND e.round = s.round AND e.kind = 'evaluate'
        ) THEN NULL ELSE s.result END AS result
      FROM "Step" s
      WHERE s."searchId" = ${searchId} AND (s.round, s.kind, s.index) > (${round}, ${kind}::"StepKind", ${index})
      ORDER BY s.round, s.kind, s.index LIMIT ${STEPS_A_PAGE}`
    for (const row of rows) yield toStepRecord(row)
    last = rows.length < STEPS_A_PAGE ? undefined : rows.at(-1)
  }
}

/** See `StepStore.listOpen`. One statement: whatever it gives was so at one instant. */
export async function listOpenSteps(queryable: Queryable, searchId: string): Promise<readonly OpenStep[] | undefined> {
  const rows = await queryable.$queryRaw<(OpenStep | { kind: null })[]>`
    SELECT s.kind::text, s.round, s.index, s.state::text, CASE WHEN s.state = 'RUNNING' THEN s.activity END AS activity
    FROM "Search" q
    LEFT JOIN "Step" s ON s."searchId" = q.id AND s.state IN ('PENDING', 'RUNNING')
    WHERE q.id = ${searchId} AND q.state NOT IN ${idleStates}
    ORDER BY s.round, s.kind, s.index`
  return rows.length === 0 ? undefined : rows.flatMap((row) => (row.kind === null ? [] : row))
}

/** What a planner sees of a step. */
const recorded = {
  ...{ kind: true, round: true, index: true, state: true },
  ...{ payload: true, result: true, error: true, activity: true },
} as const
type RecordedRow = Pick<Step, keyof typeof recorded>

/** A step that is tried again keeps its last error for people; the state machine sees only final ones. */
function toStepRecord({ activity, ...row }: RecordedRow): StepRecord {
  return fromJson<StepRecord>({
    ...row,
    result: unpackResult(row.kind, row.result),
    error: row.state === 'FAILED' ? row.error : null,
    ...(row.state === 'RUNNING' && activity !== null ? { activity } : {}),
  })
}

/** Steps that nobody has started; running ones learn at their next heartbeat that the search has ended. */
export async function cancelPendingSteps(queryable: Queryable, searchId: string): Promise<void> {
  await queryable.$executeRaw`
    UPDATE "Step" SET state = 'CANCELLED', "finishedAt" = now() WHERE "searchId" = ${searchId} AND state = 'PENDING'`
}
