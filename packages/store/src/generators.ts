import type { Database } from './database.js'
import type { GeneratorStore } from './store.js'

export function createGeneratorStore({ client }: Database): GeneratorStore {
  return {
    async findLatest(teamId, searchId) {
      const row = await client.generator.findFirst({
        where: { teamId, searchId },
        select: { searchId: true, round: true, artifact: true },
        orderBy: { round: 'desc' },
      })
      return row ?? undefined
    },
  }
}
