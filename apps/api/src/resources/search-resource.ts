import type { SearchResource } from '@espalier/contracts'
import type { ModelRow, SearchRow } from '@espalier/store'
import { isEnded } from './is-ended.js'
import { progressResource } from './progress-resource.js'
import { resultResource } from './result-resource.js'

/** A search as a client sees it. `now` is when it asks. */
export function searchResource(row: SearchRow, model: ModelRow, now: Date): SearchResource {
  const { settings } = row
  return {
    id: row.id,
    name: row.name,
    model: { id: model.id, name: model.name },
    state: row.state,
    waitReason: waitReasonOf(row),
    settings,
    progress: row.progress && progressResource(row, row.progress, now),
    best: settings.targets.map(
      (target, index) =>
        row.progress?.targets[index] ?? {
          ...(typeof target === 'number' ? { sparsityTarget: target } : { sparsityTarget: null, target }),
          ...{ bestPerplexity: null, uniformPerplexity: null },
        },
    ),
    result: row.result && resultResource(row.result, settings, model),
    error: row.error && { ...row.error, details: { ...row.error.details } },
    createdAt: row.createdAt.toISOString(),
    startedAt: row.startedAt?.toISOString() ?? null,
    finishedAt: row.finishedAt?.toISOString() ?? null,
  }
}

function waitReasonOf(row: SearchRow): string | null {
  if (isEnded(row.state)) return null
  if (row.state === 'PAUSED') return 'paused: it goes on when it is resumed'
  if (row.waitReason !== null) return row.waitReason
  return row.state === 'QUEUED' ? 'waiting: the dispatcher has not taken it up yet' : null
}
