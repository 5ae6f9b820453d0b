import type { EvaluationResource } from '@espalier/contracts'
import type { EvaluationRow } from '@espalier/store'

export function evaluationResource(row: EvaluationRow): EvaluationResource {
  return {
    id: row.id,
    policyId: row.policyId,
    purpose: row.purpose,
    targetIndex: row.targetIndex,
    split: row.split,
    windows: row.windows,
    sparsity: row.sparsity,
    keptUnits: [...row.keptUnits],
    perplexity: row.perplexity,
    logPerplexity: row.logPerplexity,
    predicted: row.predicted && {
      perplexity: Math.exp(row.predicted.logPerplexity),
      low: Math.exp(row.predicted.low),
      high: Math.exp(row.predicted.high),
    },
    protocol: { ...row.protocol, runtime: { ...row.protocol.runtime } },
    workerId: row.workerId,
    computeSeconds: row.computeSeconds,
    createdAt: row.createdAt.toISOString(),
  }
}
