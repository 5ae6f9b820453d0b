import {
  type EarlierEvaluation,
  type ModelShape,
  methodOf,
  type SearchOutline,
  type StepKind,
  startsFromEarlier,
} from '@espalier/contracts'
import type { Queryable } from './database.js'
import { fromJson } from './json.js'
import { endedStates } from './search-rows.js'

/** What a search starts from, chosen when it was first planned after its preparation and never again. */
interface Transfer {
  /** Ids of the evaluate steps of earlier searches. */
  readonly steps: readonly string[]
  /** Where there are none: the last predictor of a search of a related model, from whose curve this one starts. */
  readonly related: Related | null
}

interface Related {
  readonly searchId: string
  readonly round: number
}

/**
 * Evaluations a module that a search starts from at most, so that no record grows with the age of a team: eight for
 * each of the two parameters that the predictor has a module. On the bundled model its order of policies stops
 * improving there (docs/experiments).
 */
const EVALUATIONS_A_MODULE = 16
/** The best of each target are kept before others: evolution starts from them, and they may win again. */
const BEST_OF_A_TARGET = 6

/**
 * What the search starts from, in a fixed order: searches by age, then as they were planned. Chosen here when the
 * search is prepared and nothing was chosen yet; the row of the search is locked.
 */
export async function chooseEarlierEvaluations(
  tx: Queryable,
  search: { readonly id: string; readonly transfer: unknown },
  { settings, shape }: SearchOutline,
): Promise<readonly EarlierEvaluation[] | undefined> {
  if (search.transfer !== null) return loadEarlierEvaluations(tx, search.transfer)
  if (!startsFromEarlier(settings) || !(await isJustPrepared(tx, search.id))) return undefined
  const comparable = await findComparable(tx, search.id, shape)
  const related = settings.transfer === 'auto' && comparable.length === 0 ? await findRelated(tx, search.id) : null
  const transfer: Transfer = { steps: comparable, related }
  await tx.$executeRaw`UPDATE "Search" SET transfer = ${JSON.stringify(transfer)}::jsonb WHERE id = ${search.id}`
  return loadEarlierEvaluations(tx, transfer)
}

/** Prepared, and nothing evaluated yet. */
async function isJustPrepared(tx: Queryable, searchId: string): Promise<boolean> {
  const find = (where: { kind: StepKind; state?: 'DONE' }) =>
    tx.step.findFirst({ where: { searchId, ...where }, select: { id: true } })
  return (await find({ kind: 'prepare', state: 'DONE' })) !== null && (await find({ kind: 'evaluate' })) === null
}

/** The evaluations of earlier searches that were chosen for a search; undefined: none were. */
export async function loadEarlierEvaluations(
  queryable: Queryable,
  transfer: unknown,
): Promise<readonly EarlierEvaluation[] | undefined> {
  const steps = fromJson<Transfer | null>(transfer)?.steps ?? []
  if (steps.length === 0) return undefined
  const rows = await queryable.step.findMany({
    where: { id: { in: [...steps] } },
    orderBy: [{ search: { createdAt: 'asc' } }, { searchId: 'asc' }, { round: 'asc' }, { index: 'asc' }],
    select: { payload: true, result: true, search: { select: { settings: true } } },
  })
  return rows.map(({ search, ...row }) => {
    const { payload, result } = fromJson<EarlierEvaluation>(row)
    return { payload: { ...payload, method: methodOf({ payload, settings: fromJson(search.settings) }) }, result }
  })
}

/** `Predictor.toJSON` of the related model that was chosen for a search; undefined: none was. */
export async function loadRelatedCurve(queryable: Queryable, searchId: string): Promise<unknown> {
  const search = await queryable.search.findUnique({ where: { id: searchId }, select: { transfer: true } })
  const related = fromJson<Transfer | null>(search?.transfer)?.related
  if (!related) return undefined
  const row = await queryable.predictor.findUnique({
    where: { searchId_round: { searchId: related.searchId, round: related.round } },
    select: { parameters: true },
  })
  return row?.parameters
}

/**
 * The curve that most likely resembles that of a search: of an ended search of the team on a model of the same
 * architecture; rather of the same model by another protocol, then under the same method, then the newest.
 */
async function findRelated(tx: Queryable, searchId: string): Promise<Related | null> {
  const [related] = await tx.$queryRaw<Related[]>`
    SELECT p."searchId", p.round
    FROM "Search" own
    JOIN "Model" m ON m.id = own."modelId"
    JOIN "Search" q ON q."teamId" = own."teamId" AND q.id <> own.id AND q.state IN ${endedStates}
    JOIN "Model" n ON n.id = q."modelId" AND n.shape->'architecture' = m.shape->'architecture'
    JOIN "Predictor" p ON p."searchId" = q.id
    WHERE own.id = ${searchId} AND COALESCE(q.settings->>'predictor', 'curve') = 'curve'
    ORDER BY n.id = m.id DESC,
      q.settings->'compensation' = own.settings->'compensation' AND q.settings->'metric' = own.settings->'metric' DESC,
      q."finishedAt" DESC, q.id, p.round DESC
    LIMIT 1`
  return related ?? null
}

/**
 * Ids of what the team has measured by the protocol of a search that is prepared: the same model, texts, windows and
 * precision, and a method that the search may use. Each policy once; at most so many under one method, first those that
 * define the predictor, then the best of each target, then the newest.
 */
async function findComparable(tx: Queryable, searchId: string, shape: ModelShape): Promise<string[]> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    WITH prepared AS (
      SELECT q.id, q."teamId", q."createdAt", q.settings,
        jsonb_build_array(
          p.result->'modelHash', COALESCE(p.result->>'precision', 'fp32'),
          p.result #> '{splits,calibration,textHash}', p.result #> '{splits,validation,textHash}',
          q.settings->'windowLength', q.settings->'calibrationWindows', q.settings->'validationWindows'
        ) AS protocol
      FROM "Search" q
      JOIN "Step" p ON p."searchId" = q.id AND p.round = 0 AND p.kind = 'prepare' AND p.index = 0 AND p.state = 'DONE'
      WHERE q."teamId" = (SELECT "teamId" FROM "Search" WHERE id = ${searchId})
    ),
    measured AS (
      SELECT DISTINCT ON (method, s.payload->'keptUnits', s.payload->'windows')
        s.id, method, s.payload->>'purpose' AS purpose, s.result, q."createdAt", s.round, s.index,
        q.settings->'targets'->((s.payload->>'targetIndex')::int) AS target
      FROM prepared own
      JOIN prepared q ON q.protocol = own.protocol AND q.id <> own.id
      JOIN "Step" s ON s."searchId" = q.id AND s.kind = 'evaluate' AND s.state = 'DONE'
      CROSS JOIN LATERAL (SELECT COALESCE(
        s.payload->'method',
        jsonb_build_object('metric', q.settings->'metric', 'compensation', q.settings->'compensation')
      ) AS method) m
      WHERE own.id = ${searchId}
        AND s.payload->>'split' = 'validation' AND s.payload->>'purpose' <> 'final'
        AND s.payload->'windows' <= own.settings->'validationWindows'
        AND own.settings->>'metric' IN ('auto', method->>'metric')
        AND own.settings->>'compensation' IN ('auto', method->>'compensation')
      ORDER BY method, s.payload->'keptUnits', s.payload->'windows', q."createdAt", s.id
    ),
    ranked AS (
      SELECT *, row_number() OVER (
        PARTITION BY method, target ORDER BY (result->>'logPerplexity')::double precision, id
      ) AS place
      FROM measured
    ),
    chosen AS (
      SELECT id, row_number() OVER (
        PARTITION BY method
        ORDER BY purpose IN ('dense', 'uniform', 'probe') DESC, target IS NOT NULL AND place <= ${BEST_OF_A_TARGET} DESC,
          "createdAt" DESC, round DESC, index DESC, id
      ) AS place
      FROM ranked
    )
    SELECT id FROM chosen WHERE place <= ${2 * shape.layers * EVALUATIONS_A_MODULE} ORDER BY id`
  return rows.map(({ id }) => id)
}
