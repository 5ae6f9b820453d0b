/**
 * `npm test [-- jest arguments]`: the pure tests, then those with a real database, ONNX Runtime and HTTP, one file
 * after the other. Fails when a test or the start of jest fails, or there was none; the last line is `N passed, N failed`.
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

const ignoring = (pattern) =>
  ['/node_modules/', '/dist/', pattern].map((ignored) => `--testPathIgnorePatterns=${ignored}`)

runJest('unit', ignoring(String.raw`\.(int|gpu)\.test\.ts$`))
runJest('int', ['--runInBand', ...ignoring(String.raw`(?<!\.int|\.gpu)\.test\.ts$`)])
rmSync(folder, { recursive: true, force: true })
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.broken || total.failed > 0 || total.passed === 0 ? 1 : 0
