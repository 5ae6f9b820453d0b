import type { Database } from './database.js'
import { createId } from './ids.js'
import type { TeamStore } from './store.js'

const defaultTeamName = 'default'

export function createTeamStore({ client }: Database): TeamStore {
  return {
    ensureDefault: () =>
      client.team.upsert({
        where: { name: defaultTeamName },
        create: { id: createId('tea'), name: defaultTeamName },
        update: {},
        select: { id: true, name: true, weight: true },
      }),
  }
}
