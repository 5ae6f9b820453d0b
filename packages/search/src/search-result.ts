import type { PrepareResult, SearchResult, SearchTargetResult } from '@espalier/contracts'
import { compensationsOf, densePolicy, finalOf, testOf, winnerOf } from './final-steps.js'
import type { Measurement } from './measurement.js'
import { roundErrors } from './round-errors.js'
import { countEvaluations, evaluationTimes } from './search-progress.js'
import type { SearchView } from './search-view.js'

/** What the search found so far; null before anything was measured. */
export function resultOf(view: SearchView): SearchResult | null {
  const prepared = view.findResult('prepare', 0)
  if (!prepared || view.ledger.evaluations.done === 0) return null
  const dense = densePolicy(view)
  return {
    dense: {
      validationPerplexity: validationOf(view, dense),
      testPerplexity: testOf(view, prepared, dense)?.result.perplexity ?? null,
    },
    evaluations: { ...countEvaluations(view), ...evaluationTimes(view) },
    method: view.chosen,
    rounds: roundErrors(view),
    targets: view.settings.targets.flatMap((_, targetIndex) => targetResult(view, prepared, targetIndex) ?? []),
  }
}

function targetResult(view: SearchView, prepared: PrepareResult, targetIndex: number): SearchTargetResult | undefined {
  const target = view.settings.targets[targetIndex]
  const winner = winnerOf(view, prepared, targetIndex)
  if (target === undefined || !winner) return undefined
  const { payload, result } = winner
  const { uniform: createUniform, sparsity: sparsityTarget } = view.targetAt(targetIndex)
  const uniform = createUniform()
  const test = testOf(view, prepared, payload.keptUnits)
  return {
    sparsityTarget,
    ...(typeof target === 'number' ? {} : { target }),
    sparsity: payload.sparsity,
    keptUnits: payload.keptUnits,
    validationPerplexity: result.perplexity,
    finalPerplexity: finalOf(view, prepared, payload.keptUnits)?.result.perplexity ?? null,
    testPerplexity: test?.result.perplexity ?? null,
    bitsPerByte: test ? bitsPerByte(test, prepared) : null,
    klDivergence: test?.result.againstDense?.klDivergence ?? null,
    top1Agreement: test?.result.againstDense?.top1Agreement ?? null,
    uniform: {
      keptUnits: uniform,
      validationPerplexity: validationOf(view, uniform),
      testPerplexity: testOf(view, prepared, uniform)?.result.perplexity ?? null,
    },
    compensations: compensationsOf(view, prepared, payload.keptUnits),
    predicted: payload.predicted && {
      perplexity: Math.exp(payload.predicted.logPerplexity),
      low: Math.exp(payload.predicted.low),
      high: Math.exp(payload.predicted.high),
    },
  }
}

/** null: the bytes of the windows were not counted. */
function bitsPerByte({ payload, result }: Measurement, { splits }: PrepareResult): number | null {
  const bytes = splits[payload.split].windowBytes?.slice(0, payload.windows)
  if (bytes === undefined) return null
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
  return sum(result.nll) / Math.LN2 / sum(bytes)
}

function validationOf(view: SearchView, kept: readonly number[]): number | null {
  return view.findMeasurement(kept, 'validation', view.settings.validationWindows)?.result.perplexity ?? null
}
