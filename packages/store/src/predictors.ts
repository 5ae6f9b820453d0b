import { EspalierError } from '@espalier/contracts'
import type { Database } from './database.js'
import { loadRelatedCurve } from './earlier-evaluations.js'
import { fromJson } from './json.js'
import type { PredictorStore } from './store.js'

export function createPredictorStore({ client }: Database): PredictorStore {
  return {
    findRelated: (searchId) => loadRelatedCurve(client, searchId),

    async load(searchId, round) {
      const row = await client.predictor.findUnique({
        where: { searchId_round: { searchId, round } },
        select: { id: true, searchId: true, round: true, parameters: true, onnx: true, summary: true },
      })
      if (row === null) {
        throw new EspalierError(
          'RESOURCE_NOT_FOUND',
          `Search '${searchId}' has no predictor of round ${round}: its train step is not done.`,
          { searchId, round },
        )
      }
      return { ...row, summary: fromJson<Readonly<Record<string, unknown>>>(row.summary) }
    },
  }
}
