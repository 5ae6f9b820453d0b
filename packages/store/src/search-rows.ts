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
import { Prisma, type Search } from './generated/prisma/client.js'
import { fromJson } from './json.js'
import type { SearchRow } from './records.js'

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
    select: {
      ...{ kind: true, round: true, index: true, state: true },
      ...{ payload: true, result: true, error: true, activity: true },
    },
  })
  return {
    settings: fromJson<SearchSettings>(settings),
    shape: fromJson<ModelShape>(shape),
    // A step that is tried again keeps its last error for people; the state machine sees only final ones.
    steps: rows.map(({ activity, ...row }) =>
      fromJson<StepRecord>({
        ...row,
        error: row.state === 'FAILED' ? row.error : null,
        ...(row.state === 'RUNNING' && activity !== null ? { activity } : {}),
      }),
    ),
  }
}

/** Steps that nobody has started; running ones learn at their next heartbeat that the search has ended. */
export async function cancelPendingSteps(queryable: Queryable, searchId: string): Promise<void> {
  await queryable.$executeRaw`
    UPDATE "Step" SET state = 'CANCELLED', "finishedAt" = now() WHERE "searchId" = ${searchId} AND state = 'PENDING'`
}
