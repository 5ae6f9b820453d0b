import { readFile, rename, writeFile } from 'node:fs/promises'
import { createStore } from '@espalier/store'

/**
 * The admin key of a service: made on first start, kept in a file that only its owner may read. A file without its row
 * (another database) gets the row again, so that one home has one key.
 */
export async function ensureAdminKey(databaseUrl: string, file: string): Promise<string> {
  const store = createStore({ databaseUrl })
  try {
    const team = await store.teams.ensureDefault()
    const kept = (await readFile(file, 'utf8').catch(() => '')).trim()
    if (kept !== '' && (await store.apiKeys.find(kept)) !== undefined) return kept
    const { key } = await store.apiKeys.create({
      teamId: team.id,
      name: 'admin',
      ...(kept === '' ? {} : { key: kept }),
    })
    await writeFile(`${file}.new`, `${key}\n`, { mode: 0o600 })
    await rename(`${file}.new`, file)
    return key
  } finally {
    await store.close()
  }
}
