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
      // Bytes would come as hexadecimal digits, half as many again.
      const [row] = await client.$queryRaw<{ onnx: string }[]>`
        SELECT encode(onnx, 'base64') AS onnx FROM "Predictor" WHERE "searchId" = ${searchId} AND round = ${round}`
      return Buffer.from((row ?? missing(searchId, round)).onnx, 'base64')
    },

    async getClaim(searchId, round) {
      const row = await client.step.findFirst({
        where: { searchId, round, kind: 'train', state: 'DONE' },
        select: { id: true, fencingToken: true },
      })
      const { id, fencingToken } = row ?? missing(searchId, round)
      return { stepId: id, fencingToken: Number(fencingToken) }
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
