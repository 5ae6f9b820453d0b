import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '@espalier/embedded'
import { applyMigrations, createStore } from '@espalier/store'

/** An embedded Postgres with the tables of the service, gone at the end. */
export async function withServiceDatabase(use) {
  const directory = mkdtempSync(join(tmpdir(), 'espalier-round-'))
  const postgres = await startEmbeddedPostgres({ directory })
  try {
    await applyMigrations(postgres.url, { createDatabase: true })
    const store = createStore({ databaseUrl: postgres.url })
    try {
      return await use({ store, databaseUrl: postgres.url })
    } finally {
      await store.close()
    }
  } finally {
    await postgres.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

export async function createSearch(store, shape, settings) {
  const { id: teamId } = await store.teams.ensureDefault()
  const model = await store.models.create({ teamId, name: 'simulated', path: `/simulated/${shape.layers}`, shape })
  return await store.searches.create({ teamId, modelId: model.id, settings })
}

/** A plan that wants these steps and tells nothing. */
export function planOf(steps) {
  const counts = { round: 0, rounds: 1, evaluationsDone: 0, evaluationsBudget: 0, fraction: 0 }
  const progress = { state: 'SEARCHING', ...counts, densePerplexity: null, targets: [], predictorError: null }
  return { state: 'SEARCHING', steps, progress, result: null, error: null }
}
