import { spawnSync } from 'node:child_process'
import { existsSync, statSync, utimesSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Binaries that packages would download when they are installed, and that nothing here uses. */
const withoutDownloads = { PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, ONNXRUNTIME_NODE_INSTALL: 'skip' }

/** Installs what package-lock.json asks for, if that has not been done, and builds what has changed. */
export function prepareWorkspace() {
  const installed = `${root}node_modules/.package-lock.json`
  if (!existsSync(installed)) {
    console.error('installing dependencies')
    run('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error'], withoutDownloads)
  } else if (statSync(installed).mtimeMs < statSync(`${root}package-lock.json`).mtimeMs) {
    console.error('bringing dependencies up to date')
    run('npm', ['install', '--no-fund', '--no-audit', '--loglevel=error'], withoutDownloads)
    utimesSync(installed, new Date(), new Date())
  }
  console.error('building')
  run('npx', ['turbo', 'run', 'build', '--output-logs=errors-only'], { TURBO_TELEMETRY_DISABLED: '1' })
}

/** Runs a command of the workspace; ends this process with its exit code when it fails. */
function run(command, args, environment) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    // Standard output belongs to the result of the script.
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...environment },
    shell: process.platform === 'win32',
  })
  if (status === 0) return
  console.error(`${command} ${args.join(' ')} failed${error ? `: ${error.message}` : ''}`)
  process.exit(status ?? 1)
}
