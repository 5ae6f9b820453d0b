import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import { userName } from './connect.js'
import { isSignalable } from './find-process.js'
import type { PostgresBinaries } from './postgres-binaries.js'
import type { PostgresFolder } from './postgres-folder.js'
import { commandOf, type Launch } from './unprivileged-launch.js'

function runInitdb(binaries: PostgresBinaries, launch: Launch, data: string, passwordFile: string): Promise<void> {
  const { command, args, options } = commandOf(launch, binaries.initdb, [
    ...['-D', data, '-U', userName, `--pwfile=${passwordFile}`],
    ...['-A', 'scram-sha-256', '-E', 'UTF8', '--locale=C'],
    ...(process.platform === 'linux' ? ['--sync-method=syncfs'] : []),
  ])
  return new Promise((resolve, reject) => {
    const initdb = spawn(command, args, {
      ...options,
      cwd: data,
      stdio: ['ignore', 'ignore', 'pipe'],
      windowsHide: true,
    })
    let complaint = ''
    initdb.stderr.on('data', (text) => {
      complaint += String(text)
    })
    const fail = (reason: string) =>
      reject(new EspalierError('EMBEDDED_POSTGRES_FAILED', `initdb failed in ${data}: ${reason}`, { directory: data }))
    initdb.once('error', (error) => fail(error.message))
    initdb.once('close', (code) => (code === 0 ? resolve() : fail(complaint.trim() || `exit code ${code}`)))
  })
}

function own(path: string, launch: Launch): void {
  if (launch.owner) chownSync(path, launch.owner.uid, launch.owner.gid)
}

/** Puts the finished data in place; when another process was first, its data stay. */
function moveIntoPlace(unfinished: string, data: string): void {
  try {
    renameSync(unfinished, data)
  } catch (error) {
    if (!existsSync(join(data, 'PG_VERSION'))) throw error
  }
}

/**
 * Makes the data folder if it is not there. It is built beside its place and moved there whole, so that one
 * killed half-way, or two at the same time, do no harm.
 *
 * @throws EMBEDDED_POSTGRES_FAILED with what initdb says
 */
export async function initialiseData(
  folder: PostgresFolder,
  binaries: PostgresBinaries,
  launch: Launch,
): Promise<void> {
  if (existsSync(join(folder.data, 'PG_VERSION'))) return
  const suffix = `${process.pid}.${randomBytes(4).toString('hex')}`
  const unfinished = `${folder.data}.new.${suffix}`
  const passwordFile = join(folder.directory, `password.initdb.${suffix}`)
  try {
    mkdirSync(unfinished, { mode: 0o700 })
    own(unfinished, launch)
    writeFileSync(passwordFile, `${folder.password}\n`, { mode: 0o600 })
    own(passwordFile, launch)
    await runInitdb(binaries, launch, unfinished, passwordFile)
    moveIntoPlace(unfinished, folder.data)
  } finally {
    rmSync(passwordFile, { force: true })
    rmSync(unfinished, { recursive: true, force: true })
  }
}

/** Removes what initialisations of processes that are no more have left. */
export function removeUnfinishedData(folder: PostgresFolder): void {
  for (const name of readdirSync(folder.directory)) {
    const pid = /\.(?:new|initdb)\.(\d+)\.[0-9a-f]+$/.exec(name)?.[1]
    if (pid !== undefined && !isSignalable(Number(pid))) {
      rmSync(join(folder.directory, name), { recursive: true, force: true })
    }
  }
}
