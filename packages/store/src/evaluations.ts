import type { Database } from './database.js'
import type { Evaluation } from './generated/prisma/client.js'
import { fromJson } from './json.js'
import { pageArguments, toPage } from './page.js'
import type { EvaluationProtocol, EvaluationRow, PredictedPerplexity } from './records.js'
import type { EvaluationStore } from './store.js'

const withPolicy = { policy: { select: { kept: true, sparsity: true } } } as const

export function createEvaluationStore({ client }: Database): EvaluationStore {
  return {
    async list(teamId, searchId, page = {}) {
      const { after, ...order } = pageArguments(page)
      const rows = await client.evaluation.findMany({
        where: { teamId, searchId, ...after },
        ...order,
        include: withPolicy,
      })
      return toPage(rows, page, toEvaluation)
    },

    async listForSearch(searchId) {
      const rows = await client.evaluation.findMany({
        where: { searchId },
        orderBy: { id: 'asc' },
        include: withPolicy,
      })
      return rows.map(toEvaluation)
    },
  }
}

function toEvaluation({
  teamId: _teamId,
  fencingToken: _fencingToken,
  policy,
  ...row
}: Evaluation & { policy: { kept: number[]; sparsity: number } }): EvaluationRow {
  return {
    ...row,
    keptUnits: policy.kept,
    sparsity: policy.sparsity,
    nll: fromJson<readonly number[]>(row.nll),
    predicted: fromJson<PredictedPerplexity | null>(row.predicted),
    protocol: fromJson<EvaluationProtocol>(row.protocol),
  }
}
