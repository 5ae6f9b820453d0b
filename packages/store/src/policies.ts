import type { Database } from './database.js'
import { pageArguments, toPage } from './page.js'
import type { PolicyEvaluation } from './records.js'
import type { PolicyStore } from './store.js'

export function createPolicyStore({ client }: Database): PolicyStore {
  return {
    async list(teamId, searchId, page = {}) {
      const { after, ...order } = pageArguments(page)
      const rows = await client.policy.findMany({
        where: { teamId, searchId, ...after },
        ...order,
        omit: { teamId: true },
        include: {
          evaluations: {
            select: { purpose: true, split: true, windows: true, perplexity: true, logPerplexity: true },
            orderBy: { id: 'asc' },
          },
        },
      })
      return toPage(rows, page, ({ kept, ...row }) => ({
        ...row,
        keptUnits: kept,
        perplexity: validationPerplexity(row.evaluations),
      }))
    },
  }
}

/** The number over the most windows: numbers of different fidelity are never mixed. */
function validationPerplexity(evaluations: readonly PolicyEvaluation[]): number | null {
  const onValidation = evaluations.filter(({ split }) => split === 'validation')
  return onValidation.sort((a, b) => b.windows - a.windows)[0]?.perplexity ?? null
}
