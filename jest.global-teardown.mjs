import { rm } from 'node:fs/promises'

/** Stops the embedded Postgres that jest.global-setup.mjs started. */
export default async function tearDown() {
  const started = globalThis.espalierTestPostgres
  if (started === undefined) return
  await started.server.stop()
  await rm(started.directory, { recursive: true, force: true })
}
