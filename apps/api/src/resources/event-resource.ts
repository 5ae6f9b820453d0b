import { type SearchEventResource, searchStates, terminalSearchStates } from '@espalier/contracts'
import type { EventRow } from '@espalier/store'
import { z } from 'zod'

const dataSchema = z.record(z.string(), z.unknown()).catch({})
const stateDataSchema = z.object({ state: z.enum(searchStates) })

export function eventResource(row: EventRow): SearchEventResource {
  return {
    id: String(row.id),
    type: row.type,
    at: row.createdAt.toISOString(),
    data: dataSchema.parse(row.data),
    terminal: isTerminal(row),
  }
}

/** Whether it is the last event of its search. */
function isTerminal(row: EventRow): boolean {
  if (row.type !== 'state') return false
  const data = stateDataSchema.safeParse(row.data)
  return data.success && terminalSearchStates.includes(data.data.state)
}
