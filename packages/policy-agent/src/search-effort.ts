/**
 * How much work the agent does, by the number of modules. Chosen so that a round takes about 2 s at 16 modules and
 * under 8 s at 160 on one core, with a predictor that scores a policy in 1 to 10 microseconds.
 */
export interface SearchEffort {
  /** Units of the hidden layer of the policy network. */
  readonly hiddenUnits: number
  /** Training steps from new weights, and from a checkpoint. */
  readonly trainingSteps: number
  readonly retrainingSteps: number
  /** Sparsities a training step, and mirrored pairs of samples for each. */
  readonly sparsitiesPerStep: number
  readonly pairsPerSparsity: number
  /** Policies drawn from the trained network for each target. */
  readonly networkSamples: number
  readonly crossEntropySteps: number
  readonly crossEntropySamples: number
  /** Population of the evolution, and policies it scores. */
  readonly population: number
  readonly evolutionScores: number
  /** Policies scored to find the others once the best is known, together. */
  readonly spreadScores: number
}

export function planEffort(modules: number): SearchEffort {
  return {
    hiddenUnits: 32 + modules,
    trainingSteps: 250,
    retrainingSteps: 120,
    sparsitiesPerStep: 4,
    pairsPerSparsity: 12,
    networkSamples: 64,
    crossEntropySteps: 25,
    crossEntropySamples: 64,
    population: 48,
    evolutionScores: 70_000,
    spreadScores: 24_000,
  }
}
