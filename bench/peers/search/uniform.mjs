/** The same share everywhere: what everybody has without a search. */
import { uniformPolicy } from '@espalier/pruning'

export const uniform = {
  name: 'uniform',
  seeded: false,
  async search({ model, targets, measure }) {
    for (const target of targets) await measure([uniformPolicy(model, target)], target)
  },
}
