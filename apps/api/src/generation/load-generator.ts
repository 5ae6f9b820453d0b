import { EspalierError, type GeneratedPolicy, type GeneratorFile, generatorFileSchema } from '@espalier/contracts'
import { countEvaluationFlops } from '@espalier/cost-model'
import { createPolicyGenerator } from '@espalier/policy-agent'
import { anyPredictorFromJSON } from '@espalier/predictor-cnn'
import { createPolicyFile, createPrunableModel, denseUnits, keptParametersOf, sparsityOf } from '@espalier/pruning'
import type { Generation } from './generation-messages.js'

/** Answers for one search. */
export interface LoadedGenerator {
  /** @throws EspalierError SPARSITY_UNTRAINED */
  generate(sparsities: readonly number[]): Generation
}

/**
 * Reads a generator file.
 *
 * Speed-up is counted, not measured: the floating-point operations of the dense model for one window of the search's
 * length over those of the policy, head included (`countEvaluationFlops` of the cost model).
 * @throws EspalierError INTERNAL when the text is not of format `espalier-generator/1`
 */
export function loadGenerator(text: string): LoadedGenerator {
  const parsed = generatorFileSchema.safeParse(JSON.parse(text))
  if (!parsed.success) {
    throw new EspalierError('INTERNAL', `The stored generator is not valid: ${parsed.error.issues[0]?.message}`)
  }
  const file = parsed.data
  const model = createPrunableModel(file.shape)
  const predictor = anyPredictorFromJSON(file.predictor)
  const generator = createPolicyGenerator(file.front, { model, predictor })
  const [least, most] = generator.range

  const generateOne = (sparsityTarget: number): GeneratedPolicy => {
    const kept = generator.generate(sparsityTarget)
    const { logPerplexity, low, high } = predictor.predict(kept)
    const parameters = file.shape.parameters - (model.prunableParameters - keptParametersOf(model, kept))
    return {
      sparsityTarget,
      sparsity: sparsityOf(model, kept),
      policy: createPolicyFile(model, kept, file.metric, file.compensation, file.modelHash ?? undefined),
      keptUnits: [...kept],
      predicted: { perplexity: Math.exp(logPerplexity), low: Math.exp(low), high: Math.exp(high) },
      parameters,
      bytes: Math.round((parameters * file.shape.weightBytes) / file.shape.parameters),
      speedup: flopsOf(file, denseUnits(model)) / flopsOf(file, kept),
    }
  }
  return { generate: (sparsities) => ({ range: { least, most }, policies: sparsities.map(generateOne) }) }
}

function flopsOf({ shape, windowLength }: GeneratorFile, kept: readonly number[]): number {
  return countEvaluationFlops(shape, kept, { windowLength, windows: 1 })
}
