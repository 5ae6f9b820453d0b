import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isAlive, ownIdentity, parseIdentity } from './process-identity.js'
import { serviceFilesOf } from './service-home.js'

const lookEveryMs = 500

/**
 * Says that this process uses the service of a home, which may be another command's own: that one then does not stop
 * it. Call what is returned when done; a process that was killed counts no more either.
 */
export async function attachToService(home: string): Promise<() => Promise<void>> {
  const { clients } = serviceFilesOf(home)
  const file = join(clients, String(process.pid))
  await mkdir(clients, { recursive: true, mode: 0o700 })
  await writeFile(file, JSON.stringify(ownIdentity()), { mode: 0o600 })
  return () => rm(file, { force: true })
}

/** Waits until no other process uses the service of a home, or the signal aborts. */
export async function untilUnused(home: string, signal: AbortSignal, onWait: (clients: number) => void): Promise<void> {
  for (let isFirst = true; !signal.aborted; isFirst = false) {
    const attached = await countAttached(serviceFilesOf(home).clients)
    if (attached === 0) return
    if (isFirst) onWait(attached)
    await sleep(lookEveryMs, undefined, { signal }).catch(() => undefined)
  }
}

async function countAttached(folder: string): Promise<number> {
  let attached = 0
  for (const name of await readdir(folder).catch(() => [])) {
    const identity = parseIdentity(await readFile(join(folder, name), 'utf8').catch(() => ''))
    if (identity !== null && isAlive(identity)) attached++
    else await rm(join(folder, name), { force: true })
  }
  return attached
}
