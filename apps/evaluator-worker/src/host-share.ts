import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { mkdir, rm, utimes, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

/** One of the evaluators that share a machine. */
export interface HostShare {
  /** Evaluators of this machine that live, this one included. */
  count(): number
  leave(): Promise<void>
}

const beatMs = 1000
/** Longer than any pause of a living process on a busy machine. */
const deadAfterMs = 10_000

/** Processes see each other by their ids where this is the same: containers may share a folder, but not those. */
const pidNamespace = readPidNamespace()

/**
 * Announces an evaluator to the others of its machine by a file that it touches every second, so that they divide the
 * cores instead of each taking all. In a container with a folder of its own an evaluator is alone, and its cores are
 * those of the container's quota.
 *
 * @param folder the same for all evaluators of the machine
 */
export async function joinHost(
  folder: string,
  times: { beatMs: number; deadAfterMs: number } = defaults,
): Promise<HostShare> {
  const own = join(folder, `${pidNamespace}-${process.pid}-${randomUUID()}`)
  const announce = async () => {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    await writeFile(own, '')
  }
  await announce()
  // Somebody may have cleared the folder, or taken a process that was stopped for a while for dead.
  const beat = () => utimes(own, new Date(), new Date()).catch(announce)
  const timer = setInterval(() => beat().catch(() => undefined), times.beatMs).unref()
  return {
    count: () => Math.max(1, listFiles(folder).filter((file) => isAlive(file, times.deadAfterMs)).length),
    async leave() {
      clearInterval(timer)
      await rm(own, { force: true })
    },
  }
}

const defaults = { beatMs, deadAfterMs }

/** Threads of one of several evaluators that divide the CPUs among them. */
export function threadsOf(cpus: number, evaluators: number): number {
  return Math.max(1, Math.floor(cpus / evaluators))
}

function listFiles(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
}

function isAlive(file: string, afterMs: number): boolean {
  const touched = statSync(file, { throwIfNoEntry: false })?.mtimeMs
  if (touched === undefined) return false
  if (Date.now() - touched <= afterMs && !hasEnded(file)) return true
  rmSync(file, { force: true })
  return false
}

/** Whether the process that announced itself by this file is known to have ended. */
function hasEnded(file: string): boolean {
  const [namespace, pid] = basename(file).split('-')
  if (namespace !== pidNamespace) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

function readPidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid').replace(/\D/g, '')
  } catch {
    return 'host' // Not Linux: no container either.
  }
}
