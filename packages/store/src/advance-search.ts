import { isDeepStrictEqual } from 'node:util'
import {
  type KeptUnits,
  type MemoryNeeds,
  type NewStep,
  type SearchPlan,
  type SearchRecord,
  type SearchState,
  terminalSearchStates,
} from '@espalier/contracts'
import { isLockTimeout } from './connection-errors.js'
import type { Database, Queryable } from './database.js'
import { chooseEarlierEvaluations } from './earlier-evaluations.js'
import { appendEvents } from './events.js'
import { createId } from './ids.js'
import { toJson } from './json.js'
import { keptHashOf } from './kept-hash.js'
import type { NewEvent, PolicyOrigin, StepRef } from './records.js'
import { cancelPendingSteps, idleStates, loadSearchSteps } from './search-rows.js'
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
  plan: (record: SearchRecord) => PlannedSearch,
): Promise<AdvancedSearch | undefined> {
  try {
    return await transaction(async (tx) => {
      const search = await lockSearch(tx, searchId)
      if (search === undefined) return undefined
      const record = await loadSearchSteps(tx, search)
      const earlier = await chooseEarlierEvaluations(tx, search, record)
      const next = plan(earlier ? { ...record, earlier } : record)
      if (next.memoryNeeds !== undefined) await writeMemoryNeeds(tx, searchId, next.memoryNeeds)
      const created = await createSteps(tx, search, record, next.steps)
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
  record: SearchRecord,
  wanted: readonly NewStep[],
): Promise<readonly StepRef[]> {
  const existing = new Set(record.steps.map(stepKey))
  const steps = wanted.filter((step) => !existing.has(stepKey(step)))
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
  const policies = steps.flatMap((step) => (step.kind === 'evaluate' ? [toPolicy(step, record)] : []))
  if (policies.length > 0) {
    await tx.policy.createMany({
      data: policies.map((policy) => ({ id: createId('pol'), searchId, teamId, ...policy })),
      skipDuplicates: true,
    })
  }
  return created
}

const stepKey = ({ round, kind, index }: Pick<NewStep, 'round' | 'kind' | 'index'>) => `${round} ${kind} ${index}`

function toPolicy({ round, payload }: NewStep<'evaluate'>, record: SearchRecord) {
  const keptHash = keptHashOf(payload)
  const origin = payload.purpose === 'proposal' ? proposalOrigin(record, round, payload.keptUnits) : payload.purpose
  return {
    keptHash,
    kept: [...payload.keptUnits],
    sparsity: payload.sparsity,
    origin,
    targetIndex: payload.targetIndex,
    round,
  }
}

/** Which part of the agent proposed the policy, as the propose step of its round says. */
function proposalOrigin(record: SearchRecord, round: number, keptUnits: KeptUnits): PolicyOrigin {
  for (const step of record.steps) {
    if (step.kind !== 'propose' || step.round !== round || step.result === null) continue
    for (const { policies } of step.result.targets) {
      const proposed = policies.find((policy) => isDeepStrictEqual(policy.keptUnits, keptUnits))
      if (proposed !== undefined) return proposed.origin
    }
  }
  return 'proposal'
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
