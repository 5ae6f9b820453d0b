import { EspalierError } from '@espalier/contracts'
import type { Database } from './database.js'
import { loadRelatedCurve } from './earlier-evaluations.js'
import type { PredictorStore } from './store.js'

export function createPredictorStore({ client }: Database): PredictorStore {
  const keyOf = (searchId: string, round: number) => ({ searchId_round: { searchId, round } })
  return {
    findRelated: (searchId) => loadRelatedCurve(client, searchId),

    async loadParameters(searchId, round) {
      const row = await client.predictor.findUnique({ where: keyOf(searchId, round), select: { parameters: true } })
      return (row ?? missing(searchId, round)).parameters
    },

    async loadOnnx(searchId, round) {
      const row = await client.predictor.findUnique({ where: keyOf(searchId, round), select: { onnx: true } })
      return (row ?? missing(searchId, round)).onnx
    },
  }
}

function missing(searchId: string, round: number): never {
  throw new EspalierError(
    'RESOURCE_NOT_FOUND',
    `Search '${searchId}' has no predictor of round ${round}: its train step is not done.`,
    { searchId, round },
  )
}
