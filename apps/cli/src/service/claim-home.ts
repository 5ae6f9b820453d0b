import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { hasCode, isAlive, ownIdentity, type ProcessIdentity, parseIdentity } from './process-identity.js'
import { findServiceFile, type ServiceFile, serviceFilesOf } from './service-home.js'

/** The right to run the one service of a home. */
export interface HomeClaim {
  /** Tells clients where the service answers. */
  publish(url: string): Promise<void>
  release(): Promise<void>
}

/**
 * Claims a home for this process; the claim of a process that was killed is taken over.
 * @throws EspalierError SERVICE_ALREADY_RUNNING with pid and address of the one that runs
 */
export async function claimHome(home: string): Promise<HomeClaim> {
  const files = serviceFilesOf(home)
  await mkdir(home, { recursive: true, mode: 0o700 })
  const mine = JSON.stringify(ownIdentity())
  while (!(await createExclusively(files.lock, mine))) {
    const found = await readFile(files.lock, 'utf8').catch(() => '')
    const owner = parseIdentity(found)
    if (owner !== null && isAlive(owner)) throw await alreadyRunning(home, owner)
    await removeStale(files.lock, found)
  }
  return {
    async publish(url) {
      const content: ServiceFile = { pid: process.pid, url, startedAt: new Date().toISOString() }
      const unfinished = `${files.service}.${randomUUID()}`
      await writeFile(unfinished, `${JSON.stringify(content)}\n`, { mode: 0o600 })
      await rename(unfinished, files.service)
    },
    async release() {
      await rm(files.service, { force: true })
      await rm(files.lock, { force: true })
    },
  }
}

async function createExclusively(file: string, content: string): Promise<boolean> {
  // Written apart and linked, so that nobody reads a lock that is half there.
  const unfinished = `${file}.${randomUUID()}`
  await writeFile(unfinished, content, { mode: 0o600 })
  try {
    await link(unfinished, file)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  } finally {
    await rm(unfinished, { force: true })
  }
}

/** Removes a lock whose owner is gone, unless another process was faster and the lock is that one's by now. */
async function removeStale(file: string, stale: string): Promise<void> {
  const taken = `${file}.${randomUUID()}`
  await rename(file, taken).catch(() => undefined)
  const content = await readFile(taken, 'utf8').catch(() => stale)
  if (content !== stale) await link(taken, file).catch(() => undefined)
  await rm(taken, { force: true })
}

async function alreadyRunning(home: string, owner: ProcessIdentity): Promise<EspalierError> {
  const url = (await findServiceFile(home))?.url
  const where = url === undefined ? 'it is starting' : `it answers at ${url}`
  return new EspalierError(
    'SERVICE_ALREADY_RUNNING',
    `Process ${owner.pid} runs the service of ${home}; ${where}. Stop it, or choose another home with --home DIR`,
    { home, pid: owner.pid, url: url ?? null },
  )
}
