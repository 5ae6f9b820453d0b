import { EspalierError } from '@espalier/contracts'
import type { Database } from './database.js'
import type { GeneratorStore } from './store.js'

export function createGeneratorStore({ client }: Database): GeneratorStore {
  return {
    async findLatest(teamId, searchId) {
      const search = await client.search.findFirst({
        where: { id: searchId, teamId },
        select: {
          generators: {
            select: { searchId: true, round: true, artifact: true },
            orderBy: { round: 'desc' },
            take: 1,
          },
        },
      })
      if (search === null) {
        throw new EspalierError('RESOURCE_NOT_FOUND', `There is no search '${searchId}'.`, { searchId })
      }
      return search.generators[0]
    },
  }
}
