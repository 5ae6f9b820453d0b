/** Heterogeneous random policies at the target; the best one counts. */
import { randomPolicy } from '@espalier/pruning'

/** Policies measured at once, so that what was measured is kept from time to time. */
const BATCH = 8

export const random = {
  name: 'random',
  seeded: true,
  async search({ model, targets, evaluations, randomFor, measure }) {
    for (const target of targets) {
      const generator = randomFor(target)
      for (let done = 0; done < evaluations; done += BATCH) {
        const count = Math.min(BATCH, evaluations - done)
        await measure(
          Array.from({ length: count }, () => randomPolicy(model, target, generator)),
          target,
        )
      }
    }
  },
}
