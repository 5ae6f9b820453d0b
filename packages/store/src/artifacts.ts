import { EspalierError } from '@espalier/contracts'
import type { Database } from './database.js'
import type { Artifact } from './generated/prisma/client.js'
import { fromJson } from './json.js'
import type { ArtifactFile, ArtifactRow } from './records.js'
import type { ArtifactStore } from './store.js'

export function createArtifactStore({ client }: Database): ArtifactStore {
  return {
    async list(teamId, searchId) {
      const rows = await client.artifact.findMany({
        where: { teamId, searchId },
        orderBy: [{ targetIndex: 'asc' }, { format: 'asc' }],
      })
      return rows.map(toArtifact)
    },

    async get(teamId, searchId, id) {
      const row = await client.artifact.findFirst({ where: { teamId, searchId, id } })
      if (row === null) {
        throw new EspalierError('RESOURCE_NOT_FOUND', `Search '${searchId}' has no artifact '${id}'.`, { searchId, id })
      }
      return toArtifact(row)
    },
  }
}

function toArtifact({ teamId: _teamId, ...row }: Artifact): ArtifactRow {
  return { ...row, parameters: Number(row.parameters), files: fromJson<readonly ArtifactFile[]>(row.files) }
}
