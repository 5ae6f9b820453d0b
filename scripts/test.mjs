/**
 * `npm test [-- jest arguments]`: the tests that compute, a file a core, then those of services, queue and database, one
 * file after the other, as leases and heartbeats need time that nobody else takes. Fails when a test or the start of jest
 * fails, or there was none; the last line is `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { prepareWorkspace, root } from './prepare-workspace.mjs'

prepareWorkspace()
const folder = mkdtempSync(join(tmpdir(), 'espalier-tests-'))
const total = { passed: 0, failed: 0, broken: false }

function runJest(name, args) {
  const outputFile = join(folder, `${name}.json`)
  const jest = [
    `${root}node_modules/jest/bin/jest.js`,
    // First: jest would take paths that follow one of its list options for more of that list.
    ...process.argv.slice(2),
    ...['--passWithNoTests', '--json', `--outputFile=${outputFile}`],
    ...args,
  ]
  const { status } = spawnSync(process.execPath, ['--experimental-vm-modules', '--no-warnings', ...jest], {
    cwd: root,
    // With --json jest prints the object, too; the report for people is on standard error.
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  try {
    const { numPassedTests, numFailedTests, numRuntimeErrorTestSuites } = JSON.parse(readFileSync(outputFile, 'utf8'))
    total.passed += numPassedTests
    total.failed += numFailedTests + numRuntimeErrorTestSuites
  } catch {
    total.broken = true
  }
  if (status !== 0) total.broken = true
}

/** Integration tests of what talks to other processes in time. */
const services = String.raw`/(apps|tests|packages/(embedded|queue|runtime|step-worker|store))/.*\.int\.test\.ts$`
const gpu = String.raw`\.gpu\.test\.ts$`
const ignoring = (...patterns) =>
  ['/node_modules/', '/dist/', ...patterns].map((ignored) => `--testPathIgnorePatterns=${ignored}`)

runJest('computing', ['--maxWorkers=100%', ...ignoring(services, gpu)])
runJest('services', ['--runInBand', ...ignoring(`^(?!.*${services})`)])
rmSync(folder, { recursive: true, force: true })
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.broken || total.failed > 0 || total.passed === 0 ? 1 : 0
