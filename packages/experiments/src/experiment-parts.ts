import type { ExperimentPart } from './experiment-part.js'
import { agentConstraints } from './parts/agent-constraints.js'
import { architectures } from './parts/architectures.js'
import { evaluationTime } from './parts/evaluation-time.js'
import { policyCost } from './parts/policy-cost.js'
import { predictorAblation } from './parts/predictor-ablation.js'
import { predictorAccuracy } from './parts/predictor-accuracy.js'
import { stability } from './parts/stability.js'

/** The report, part by part. */
export const experimentParts: readonly ExperimentPart[] = [
  predictorAccuracy,
  agentConstraints,
  evaluationTime,
  architectures,
  predictorAblation,
  policyCost,
  stability,
]
