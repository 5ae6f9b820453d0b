import { spawnSync } from 'node:child_process'
import { readFileSync, readlinkSync, realpathSync } from 'node:fs'

/** What is known about the process that a lock file names. */
export type ProcessState = 'server' | 'other' | 'gone' | 'unknown'

export function isSignalable(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it is there and belongs to somebody else
    return error !== null && typeof error === 'object' && 'code' in error && error.code === 'EPERM'
  }
}

/** The main process of Postgres works in its data folder; a link that may not be read says nothing. */
function worksElsewhere(pid: number, data: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`) !== realpathSync(data)
  } catch {
    return false
  }
}

/** Reads `/proc`: a zombie, which nobody reaps when pid 1 of a container does not, is gone. */
function stateOnLinux(pid: number, data: string): ProcessState {
  try {
    // `pid (name) state ...`, where the name may hold spaces and brackets
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
    const state = stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3)
    if (state === 'Z' || state === 'X') return 'gone'
    return name === 'postgres' && !worksElsewhere(pid, data) ? 'server' : 'other'
  } catch {
    return 'gone'
  }
}

function stateByPs(pid: number): ProcessState {
  const listed = spawnSync('ps', ['-p', String(pid), '-o', 'stat=,comm='], { encoding: 'utf8' })
  if (listed.error) return 'unknown'
  const line = listed.stdout.trim()
  if (line === '' || line.startsWith('Z')) return 'gone'
  return /postgres$/.test(line) ? 'server' : 'other'
}

/** Whether a pid is the running Postgres of the data folder, some other process, or nothing. */
export function findProcess(pid: number, data: string): ProcessState {
  if (!isSignalable(pid)) return 'gone'
  if (process.platform === 'linux') return stateOnLinux(pid, data)
  return process.platform === 'win32' ? 'unknown' : stateByPs(pid)
}
