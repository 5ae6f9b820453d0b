import { isDeepStrictEqual } from 'node:util'
import {
  type KeptUnits,
  type MemoryNeeds,
  type ModelShape,
  type NewStep,
  type ProposeResult,
  type SearchPlan,
  type SearchSettings,
  type SearchSource,
  type SearchState,
  terminalSearchStates,
} from '@espalier/contracts'
import { isLockTimeout } from './connection-errors.js'
import type { Database, Queryable } from './database.js'
import { chooseEarlierEvaluations } from './earlier-evaluations.js'
import { appendEvents } from './events.js'
import { createId } from './ids.js'
import { fromJson, toJson } from './json.js'
import { keptHashOf } from './kept-hash.js'
import { unpackResult } from './packed-result.js'
import type { NewEvent, PolicyOrigin, StepRef } from './records.js'
import { cancelPendingSteps, idleStates, readSearchSteps } from './search-rows.js'
import type { AdvancedSearch, PlannedSearch } from './store.js'

interface LockedSearch {
  readonly id: string
  readonly teamId: string
  readonly state: SearchState
  readonly progress: unknown
  readonly result: unknown
  readonly error: unknown
  readonly settings: unknown
  readonly shape: unknown
  readonly transfer: unknown
}

/** See `SearchStore.advance`. */
export async function advanceSearch(
  { transaction }: Database,
  searchId: string,
  plan: (source: SearchSource) => PlannedSearch | Promise<PlannedSearch>,
): Promise<AdvancedSearch | undefined> {
  try {
    return await transaction(async (tx) => {
      const search = await lockSearch(tx, searchId)
      if (search === undefined) return undefined
      const outline = { settings: fromJson<SearchSettings>(search.settings), shape: fromJson<ModelShape>(search.shape) }
      const earlier = await chooseEarlierEvaluations(tx, search, outline)
      const steps = readSearchSteps(tx, searchId)
      const next = await plan({ ...outline, steps, ...(earlier ? { earlier } : {}) })
      if (next.memoryNeeds !== undefined) await writeMemoryNeeds(tx, searchId, next.memoryNeeds)
      const created = await createSteps(tx, search, next.steps)
      await writeSearch(tx, search, next)
      return { created, state: next.state }
    })
  } catch (error) {
    if (isLockTimeout(error)) return undefined
    throw error
  }
}

/**
 * Waits for whoever advances the search now, rather than skipping it: a step that was recorded after they had read
 * the steps would otherwise be seen by nobody. NO KEY UPDATE does not get in the way of workers, whose results
 * refer to this row.
 */
async function lockSearch(tx: Queryable, searchId: string): Promise<LockedSearch | undefined> {
  const [search] = await tx.$queryRaw<LockedSearch[]>`
    SELECT s.id, s."teamId", s.state::text, s.progress, s.result, s.error, s.settings, s.transfer, m.shape
    FROM "Search" s JOIN "Model" m ON m.id = s."modelId"
    WHERE s.id = ${searchId} AND s.state NOT IN ${idleStates}
    FOR NO KEY UPDATE OF s`
  return search
}

/** They follow from settings and shape alone: written when either is known, before there is a step that needs them. */
async function writeMemoryNeeds(tx: Queryable, searchId: string, needs: MemoryNeeds): Promise<void> {
  await tx.$executeRaw`
    UPDATE "Search" SET "memoryNeeds" = ${JSON.stringify(needs)}::jsonb
    WHERE id = ${searchId} AND "memoryNeeds" IS NULL`
}

async function createSteps(
  tx: Queryable,
  { id: searchId, teamId }: LockedSearch,
  steps: readonly NewStep[],
): Promise<readonly StepRef[]> {
  if (steps.length === 0) return []
  const created = await tx.step.createManyAndReturn({
    data: steps.map(({ kind, round, index, payload }) => ({
      id: createId('ste'),
      searchId,
      teamId,
      kind,
      round,
      index,
      payload: toJson(payload),
    })),
    skipDuplicates: true,
    select: { id: true, kind: true },
  })
  const originOf = await proposalOrigins(tx, searchId, steps)
  const policies = steps.flatMap((step) => (step.kind === 'evaluate' ? [toPolicy(step, originOf)] : []))
  if (policies.length > 0) {
    await tx.policy.createMany({
      data: policies.map((policy) => ({ id: createId('pol'), searchId, teamId, ...policy })),
      skipDuplicates: true,
    })
  }
  return created
}

function toPolicy({ round, payload }: NewStep<'evaluate'>, originOf: (keptUnits: KeptUnits) => PolicyOrigin) {
  const { keptUnits, purpose, sparsity, targetIndex } = payload
  const origin = purpose === 'proposal' ? originOf(keptUnits) : purpose
  return { keptHash: keptHashOf(payload), kept: [...keptUnits], sparsity, origin, targetIndex, round }
}

/** Which part of the agent proposed a policy, as the propose step of its round says. */
async function proposalOrigins(
  tx: Queryable,
  searchId: string,
  steps: readonly NewStep[],
): Promise<(keptUnits: KeptUnits) => PolicyOrigin> {
  const first = steps.find((step) => step.kind === 'evaluate' && step.payload.purpose === 'proposal')
  const rows = first
    ? await tx.step.findMany({ where: { searchId, kind: 'propose', round: first.round }, select: { result: true } })
    : []
  const results = rows.flatMap(({ result }) => fromJson<ProposeResult | null>(unpackResult('propose', result)) ?? [])
  const proposed = results.flatMap(({ targets }) => targets.flatMap(({ policies }) => policies))
  return (keptUnits) => proposed.find((policy) => isDeepStrictEqual(policy.keptUnits, keptUnits))?.origin ?? 'proposal'
}

async function writeSearch(tx: Queryable, search: LockedSearch, plan: SearchPlan): Promise<void> {
  const stateChanged = plan.state !== search.state
  const progressChanged = !sameJson(plan.progress, search.progress)
  const otherChanged = !sameJson(plan.result, search.result) || !sameJson(plan.error, search.error)
  if (!stateChanged && !progressChanged && !otherChanged) return

  const ended = terminalSearchStates.includes(plan.state)
  await tx.$executeRaw`
    UPDATE "Search" SET
      state = ${plan.state}::"SearchState",
      progress = ${JSON.stringify(plan.progress)}::jsonb,
      result = ${plan.result === null ? null : JSON.stringify(plan.result)}::jsonb,
      error = ${plan.error === null ? null : JSON.stringify(plan.error)}::jsonb,
      "waitReason" = CASE WHEN ${ended} THEN NULL ELSE "waitReason" END,
      "startedAt" = CASE WHEN ${plan.state} = 'QUEUED' THEN "startedAt" ELSE COALESCE("startedAt", now()) END,
      "finishedAt" = CASE WHEN ${ended} THEN now() END,
      "updatedAt" = now()
    WHERE id = ${search.id}`
  if (ended) await cancelPendingSteps(tx, search.id)

  const events: NewEvent[] = []
  if (progressChanged) events.push({ type: 'progress', data: plan.progress })
  if (stateChanged) {
    const error = plan.error === null ? {} : { error: plan.error }
    events.push({ type: 'state', data: { state: plan.state, previous: search.state, ...error } })
  }
  await appendEvents(tx, { searchId: search.id, teamId: search.teamId }, events)
}

/** Whether a value is what the json column holds already; the column has forgotten the order of keys. */
function sameJson(value: unknown, stored: unknown): boolean {
  return isDeepStrictEqual(JSON.parse(JSON.stringify(value)), stored)
}
