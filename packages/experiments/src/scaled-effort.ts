import { planEffort, type SearchEffort } from '@espalier/policy-agent'

/** The agent's usual work, or a share of it. */
export function scaledEffort(modules: number, share: number): SearchEffort {
  const usual = planEffort(modules)
  const scale = (count: number) => Math.max(1, Math.round(share * count))
  const { front } = usual
  return {
    ...usual,
    trainingSteps: scale(usual.trainingSteps),
    retrainingSteps: scale(usual.retrainingSteps),
    crossEntropySteps: scale(usual.crossEntropySteps),
    evolutionScores: scale(usual.evolutionScores),
    spreadScores: scale(usual.spreadScores),
    noveltyScores: scale(usual.noveltyScores),
    front: {
      ...front,
      steps: Math.max(4, Math.min(front.steps, scale(front.steps))),
      anchorScores: scale(front.anchorScores),
    },
  }
}
