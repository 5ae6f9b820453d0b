import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

const controlGroups = '/sys/fs/cgroup'

/** CPUs this process may use at once: those it is bound to, or the quota of its control group if that is less. */
export function countCpus(): number {
  return Math.max(1, Math.min(availableParallelism(), Math.ceil(readCpuQuota() ?? Number.POSITIVE_INFINITY)))
}

/** CPUs of a `cpu.max` file ("quota period" or "max period", cgroup v2); null: no limit. */
export function parseCpuQuota(text: string): number | null {
  const [quota, period] = text.trim().split(/\s+/).map(Number)
  return quota !== undefined && period !== undefined && quota > 0 && period > 0 ? quota / period : null
}

/** Least quota of the process's group and of the root that it sees (in a container: the container's own). */
function readCpuQuota(): number | null {
  const own = readText('/proc/self/cgroup')?.match(/^0::(.*)$/m)?.[1] ?? '/'
  const quotas = [controlGroups, join(controlGroups, own)]
    .map((folder) => readText(join(folder, 'cpu.max')))
    .map((text) => (text === null ? null : parseCpuQuota(text)))
    .filter((quota) => quota !== null)
  return quotas.length === 0 ? null : Math.min(...quotas)
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null // Not Linux, or cgroup v1: no quota that is known.
  }
}
