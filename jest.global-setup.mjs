/**
 * Gives integration tests a Postgres: the one of ESPALIER_TEST_DATABASE_URL, or an embedded one in a temporary folder.
 * Each test file makes a database of its own on it.
 */
import { mkdtemp, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export default async function setUp({ rootDir, testPathPatterns, nonFlagArgs, runTestsByPath }) {
  if (process.env.ESPALIER_TEST_DATABASE_URL !== undefined) return
  const wanted = runTestsByPath ? nonFlagArgs : testPathPatterns.patterns
  if (!(await hasIntegrationTest(rootDir, wanted))) return
  const { startEmbeddedPostgres } = await import('@espalier/embedded')
  const directory = await mkdtemp(join(tmpdir(), 'espalier-test-'))
  const server = await startEmbeddedPostgres({ directory })
  process.env.ESPALIER_TEST_DATABASE_URL = server.url
  globalThis.espalierTestPostgres = { server, directory }
}

/** Whether jest, given these patterns, will run a file that needs a database. */
async function hasIntegrationTest(rootDir, patterns) {
  for (const folder of ['packages', 'apps', 'tests']) {
    const names = await readdir(join(rootDir, folder), { recursive: true })
    const files = names.filter((name) => name.endsWith('.int.test.ts') && !name.includes('node_modules'))
    const isWanted = (file) =>
      patterns.length === 0 || patterns.some((pattern) => new RegExp(pattern, 'i').test(join(rootDir, folder, file)))
    if (files.some(isWanted)) return true
  }
  return false
}
