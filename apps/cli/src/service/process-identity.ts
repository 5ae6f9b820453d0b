import { readFileSync } from 'node:fs'
import { z } from 'zod'

const identitySchema = z.object({
  pid: z.int(),
  /** Clock ticks from boot to the start of the process, where the system tells: a pid may be somebody else's by now. */
  bornAt: z.string().nullable(),
})
/** Names one process, also after it has ended. */
export type ProcessIdentity = z.infer<typeof identitySchema>

export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, bornAt: readBirth(process.pid) }
}

/** null: the text is not one. */
export function parseIdentity(text: string): ProcessIdentity | null {
  try {
    return identitySchema.parse(JSON.parse(text))
  } catch {
    return null
  }
}

export function isAlive({ pid, bornAt }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if (!hasCode(error, 'EPERM')) return false
  }
  return bornAt === null || bornAt === readBirth(pid)
}

/** Whether an error of the system has this code, e.g. `EEXIST`. */
export function hasCode(error: unknown, code: string): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === code
}

/** Field 22 of /proc/<pid>/stat (proc(5)); null where there is none, or the process is a zombie. */
function readBirth(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? null : (fields[19] ?? null)
  } catch {
    return null
  }
}
