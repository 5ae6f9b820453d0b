import type { StepRecord } from '@espalier/contracts'

/** So many teach a predictor all that it can hold; each takes memory and time of its training. */
const MOST_EVALUATIONS = 4096
/** Shares of them: older ones that are kept at most, and how many become old at once. */
const OLDER_SHARE = 1 / 2
const AGEING_SHARE = 1 / 8

/** Purposes of which there are few and which define a predictor. */
const definingPurposes: readonly string[] = ['dense', 'uniform', 'probe']

/**
 * The steps that a predictor is trained on, chosen while they are read by round and index, so that a search may have
 * measured any number of policies. Up to `most` evaluations that is all of them. Beyond that it is those that define the
 * predictor, the newest, for rounds come ever closer to what a search looks for, and of the older ones every second,
 * fourth, eighth and so on.
 */
export class TrainingSelection {
  readonly #most: number
  readonly #defining: StepRecord[] = []
  #newest: StepRecord[] = []
  #older: StepRecord[] = []
  /** Every so many of those that became old are kept. */
  #stride = 1
  #aged = 0

  constructor(most = MOST_EVALUATIONS) {
    this.#most = most
  }

  add(step: StepRecord): void {
    if (step.kind === 'train' || (step.kind === 'evaluate' && definingPurposes.includes(step.payload.purpose))) {
      this.#defining.push(step)
    } else if (step.kind === 'evaluate' && step.result) {
      this.#newest.push(step)
      while (this.#newest.length + this.#older.length > this.#most) this.#age()
    }
  }

  /** In no particular order. */
  get steps(): StepRecord[] {
    return [...this.#defining, ...this.#older, ...this.#newest]
  }

  #age(): void {
    const count = Math.ceil(this.#most * AGEING_SHARE)
    for (const step of this.#newest.slice(0, count)) if (this.#aged++ % this.#stride === 0) this.#older.push(step)
    this.#newest = this.#newest.slice(count)
    if (this.#older.length <= this.#most * OLDER_SHARE) return
    this.#older = this.#older.filter((_, position) => position % 2 === 0)
    this.#stride *= 2
  }
}
