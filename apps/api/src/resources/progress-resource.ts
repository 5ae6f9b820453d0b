import type { SearchProgress, SearchProgressResource } from '@espalier/contracts'
import type { SearchRow } from '@espalier/store'
import { isEnded } from './is-ended.js'

/** Below this share of the work, the time it took says nothing about the rest. */
const leastTellingFraction = 0.02

/** Progress with its times: what is left takes as long, a share, as what is done took. */
export function progressResource(
  row: Pick<SearchRow, 'state' | 'startedAt' | 'finishedAt'>,
  progress: SearchProgress,
  now: Date,
): SearchProgressResource {
  const elapsedSeconds = row.startedAt && secondsBetween(row.startedAt, row.finishedAt ?? now)
  const runs = row.state !== 'PAUSED' && !isEnded(row.state)
  const telling = elapsedSeconds !== null && runs && progress.fraction >= leastTellingFraction
  return {
    ...progress,
    targets: progress.targets.map((target) => ({ ...target })),
    method: progress.method ?? null,
    elapsedSeconds,
    etaSeconds: telling ? (elapsedSeconds * (1 - progress.fraction)) / progress.fraction : null,
  }
}

function secondsBetween(start: Date, end: Date): number {
  return Math.max(0, (end.getTime() - start.getTime()) / 1000)
}
