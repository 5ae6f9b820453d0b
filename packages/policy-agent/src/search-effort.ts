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
  /** Policies scored to find proposals that are different from each other, together; of few ones, a 16th for each. */
  readonly spreadScores: number
  /** Policies scored to find one that may not stay near the optimum. */
  readonly noveltyScores: number
  /** Policies scored to find one that is best by a draw, and most of them for all draws of a target together. */
  readonly drawScores: number
  readonly allDrawScores: number
  readonly front: FrontEffort
}

/** How much work it is to build the front of a generator. */
export interface FrontEffort {
  /** Most steps of its chain; more channels than that, several a step. */
  readonly steps: number
  /** Swaps tried in a step. */
  readonly swaps: number
  /** Sparsities at which evolution looks for policies beforehand, and the scores of each. */
  readonly anchors: number
  readonly anchorScores: number
  readonly anchorPopulation: number
}

/** A predictor that multiplies no more than this for a score is asked as often as the search wants. */
const CHEAP_MULTIPLICATIONS = 20_000

/**
 * @param scoreMultiplications of the predictor for one score. A predictor of n times the cheap ones (the CNN: 22 times
 * at 16 modules) is asked about n times less often, but never so rarely that the search would not find its way.
 */
export function planEffort(modules: number, scoreMultiplications = 0): SearchEffort {
  const share = Math.min(1, CHEAP_MULTIPLICATIONS / Math.max(scoreMultiplications, 1))
  const atLeast = (fewest: number, most: number) => Math.max(fewest, Math.round(share * most))
  return {
    hiddenUnits: 32 + modules,
    trainingSteps: atLeast(40, 250),
    retrainingSteps: atLeast(40, 120),
    sparsitiesPerStep: 4,
    pairsPerSparsity: 12,
    networkSamples: 64,
    crossEntropySteps: atLeast(8, 25),
    crossEntropySamples: 64,
    population: 48,
    evolutionScores: atLeast(1_500, 70_000),
    spreadScores: atLeast(500, 24_000),
    noveltyScores: atLeast(250, 12_000),
    drawScores: atLeast(500, 12_000),
    allDrawScores: atLeast(2_000, 48_000),
    front: planFront(modules, atLeast),
  }
}

/** Work that the whole chain may be, in modules times steps: a step asks about every module. */
const CHAIN_WORK = 40_000

function planFront(modules: number, atLeast: (fewest: number, most: number) => number): FrontEffort {
  return {
    steps: atLeast(40, Math.max(80, Math.round(CHAIN_WORK / modules))),
    swaps: atLeast(4, 24),
    anchors: 9,
    anchorScores: atLeast(200, 2_000),
    anchorPopulation: 24,
  }
}
