import { spawnSync } from 'node:child_process'
import { chownSync, lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { EspalierError } from '@espalier/contracts'

/** How to start Postgres, which refuses to run as root. */
export interface Launch {
  /** Command and arguments that come before the executable. */
  readonly prefix: readonly string[]
  /** User that the process, and so the files, belong to; null: the one of this process. */
  readonly owner: { readonly uid: number; readonly gid: number } | null
  /** Whether the spawn itself changes to `owner`. */
  readonly spawnAsOwner: boolean
}

/** `nobody` of Linux: owns no other file of the machine. */
const nobody = { uid: 65_534, gid: 65_534 }
const ownUser: Launch = { prefix: [], owner: null, spawnAsOwner: false }

const asNobody: Launch = { prefix: [], owner: nobody, spawnAsOwner: true }

/** A user namespace in which root of outside is user 1000: the files stay root's, so any folder will do. */
const inUserNamespace: Launch = {
  prefix: ['unshare', '--user', '--map-user=1000', '--map-group=1000'],
  owner: null,
  spawnAsOwner: false,
}

/** User `nobody` who may pass through folders closed to others; works in containers that forbid user namespaces. */
const withCapability: Launch = {
  prefix: [
    'setpriv',
    `--reuid=${nobody.uid}`,
    `--regid=${nobody.gid}`,
    '--clear-groups',
    '--inh-caps=-all,+dac_override',
    '--ambient-caps=-all,+dac_override',
  ],
  owner: nobody,
  spawnAsOwner: false,
}

/** Command, arguments and spawn options that start an executable the given way. */
export function commandOf(
  launch: Launch,
  executable: string,
  args: readonly string[],
): { command: string; args: string[]; options: { uid?: number; gid?: number } } {
  const [command = executable, ...rest] = [...launch.prefix, executable, ...args]
  return { command, args: rest, options: launch.spawnAsOwner && launch.owner ? launch.owner : {} }
}

function works(launch: Launch, directory: string, postgres: string): boolean {
  const script = 'cd "$0" && exec "$1" --version'
  const { command, args, options } = commandOf(launch, '/bin/sh', ['-c', script, directory, postgres])
  return spawnSync(command, args, options).status === 0
}

/**
 * Chooses how to start Postgres on data in `directory` (must exist): as this user, or when this user is root,
 * as one who is not.
 *
 * @throws EMBEDDED_POSTGRES_FAILED when root cannot be dropped in any way
 */
export function chooseLaunch(directory: string, postgres: string): Launch {
  if (process.getuid?.() !== 0) return ownUser
  const launch = [asNobody, inUserNamespace, withCapability].find((candidate) => works(candidate, directory, postgres))
  if (launch) return launch
  throw new EspalierError(
    'EMBEDDED_POSTGRES_FAILED',
    `Postgres does not run as root, and no other user can work in ${directory}: start Espalier as an ordinary user, set ESPALIER_HOME to a folder that other users may enter, or set DATABASE_URL`,
    { directory },
  )
}

/** Gives a folder and all in it to the user that Postgres runs as, in case an earlier start ran as another. */
export function giveToOwner(path: string, launch: Launch): void {
  const uid = launch.owner?.uid ?? process.getuid?.()
  const gid = launch.owner?.gid ?? process.getgid?.()
  if (uid === undefined || gid === undefined || lstatSync(path).uid === uid) return
  chownSync(path, uid, gid)
  for (const entry of readdirSync(path, { withFileTypes: true, recursive: true })) {
    const child = join(entry.parentPath, entry.name)
    if (!entry.isSymbolicLink()) chownSync(child, uid, gid)
  }
}
