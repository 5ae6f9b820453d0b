import { z } from 'zod'

/** One line for the person who watches a service. */
export interface ServiceLine {
  /** Role, or `postgres` or `espalier`. */
  readonly source: string
  readonly level: 'info' | 'warn' | 'error'
  readonly message: string
}
export type ServiceLog = (line: ServiceLine) => void

const roleRecordSchema = z.object({
  level: z.string(),
  msg: z.string().optional(),
  err: z.object({ message: z.string() }).optional(),
  searchId: z.string().optional(),
  reqId: z.string().optional(),
})

/**
 * The short form of a line that a role logged (pino JSON); undefined where a person need not see it: debug lines,
 * requests that went well, and what is not a log record.
 */
export function findServiceLine(source: string, text: string): ServiceLine | undefined {
  const record = parseRecord(text)
  if (record === undefined) return undefined
  const level = levelOf(record.level)
  if (level === undefined || (level === 'info' && record.reqId !== undefined)) return undefined
  const reason = record.err === undefined ? '' : `: ${record.err.message.split('\n')[0]}`
  const about = record.searchId === undefined ? '' : ` (search ${record.searchId})`
  return { source, level, message: `${record.msg ?? ''}${reason}${about}` }
}

function parseRecord(text: string) {
  try {
    return roleRecordSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

function levelOf(level: string): ServiceLine['level'] | undefined {
  if (level === 'fatal' || level === 'error') return 'error'
  return level === 'warn' || level === 'info' ? level : undefined
}
