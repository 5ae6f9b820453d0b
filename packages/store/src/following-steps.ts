import type { KeptUnits } from '@espalier/contracts'
import type { Database } from './database.js'
import { Prisma } from './generated/prisma/client.js'
import { fromJson } from './json.js'
import { orderInRound } from './lease-rules.js'
import type { Lease } from './records.js'

/** More policies than that in line are seldom, and the first ones share most. */
const maxFollowing = 256

/** See `StepStore.listFollowing`. */
export async function listFollowing(
  { client }: Database,
  { searchId, round, payload }: Lease<'evaluate'>,
): Promise<readonly KeptUnits[]> {
  const { split, windows, keptUnits, method } = payload
  const isSameMethod =
    method === undefined ? Prisma.empty : Prisma.sql`AND s.payload->'method' = ${JSON.stringify(method)}::jsonb`
  const rows = await client.$queryRaw<{ keptUnits: unknown }[]>`
    SELECT s.payload->'keptUnits' AS "keptUnits" FROM "Step" s
    WHERE s."searchId" = ${searchId} AND s.kind = 'evaluate' AND s.round = ${round} AND s.state = 'PENDING'
      AND s.payload->>'split' = ${split} AND s.payload->'windows' = ${JSON.stringify(windows)}::jsonb
      AND s.payload->'keptUnits' >= ${JSON.stringify(keptUnits)}::jsonb ${isSameMethod}
    ORDER BY ${orderInRound} LIMIT ${maxFollowing}`
  return rows.map((row) => fromJson<KeptUnits>(row.keptUnits))
}
