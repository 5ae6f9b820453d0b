import type { SearchDetailResource } from '@espalier/contracts'
import { formatChange, formatPercent, formatPerplexity, formatSeconds, formatTarget } from './format-values.js'
import { renderTable } from './render-table.js'
import type { Colors } from './terminal.js'

const barWidth = 24

/** What a search is doing now, several lines, for a person who watches. */
export function renderProgress(search: SearchDetailResource, colors: Colors): string[] {
  const { progress } = search
  if (progress === null) return [`${colors.bold(search.state)}  ${search.waitReason ?? ''}`.trimEnd()]
  const done = Math.round(barWidth * Math.min(1, progress.fraction))
  const bar = colors.green('█'.repeat(done)) + colors.dim('░'.repeat(barWidth - done))
  const round = progress.rounds > 0 ? `round ${progress.round} of ${progress.rounds}  ` : ''
  const eta = progress.etaSeconds === null ? '' : `  ETA ${formatSeconds(progress.etaSeconds)}`
  const elapsed = progress.elapsedSeconds === null ? '' : `  ${formatSeconds(progress.elapsedSeconds)} so far`
  return [
    `${colors.bold(search.state.padEnd(10))}  ${round}${evaluationsOf(progress)}`,
    `${bar} ${formatPercent(progress.fraction).padStart(5)}${elapsed}${eta}`,
    ...(search.waitReason === null ? [] : [colors.yellow(search.waitReason)]),
    ...renderTable(
      [
        { title: 'target', align: 'right' },
        { title: 'best so far', align: 'right' },
        { title: 'uniform', align: 'right' },
        { title: 'change', align: 'right' },
      ],
      search.best.map(({ bestPerplexity, uniformPerplexity, ...asked }) => [
        formatTarget(asked),
        formatPerplexity(bestPerplexity),
        formatPerplexity(uniformPerplexity),
        formatChange(bestPerplexity, uniformPerplexity),
      ]),
      colors,
    ),
    renderPredictorError(progress),
  ]
}

/** The same in one line, for logs. */
export function renderProgressLine(search: SearchDetailResource): string {
  const { progress } = search
  if (progress === null) return `${search.state} ${search.waitReason ?? ''}`.trimEnd()
  const best = search.best.map(
    ({ bestPerplexity, uniformPerplexity, ...asked }) =>
      `${formatTarget(asked)}: ${formatPerplexity(bestPerplexity)} (uniform ${formatPerplexity(uniformPerplexity)})`,
  )
  return [
    search.state,
    `round ${progress.round}/${progress.rounds}`,
    evaluationsOf(progress),
    ...best,
    ...(progress.predictorError === null ? [] : [renderPredictorError(progress)]),
    ...(progress.etaSeconds === null ? [] : [`ETA ${formatSeconds(progress.etaSeconds)}`]),
    ...(search.waitReason === null ? [] : [search.waitReason]),
  ].join('  ')
}

type Progress = NonNullable<SearchDetailResource['progress']>

function evaluationsOf({ evaluationsDone, evaluationsBudget, earlierEvaluations, relatedModel }: Progress): string {
  const earlier = earlierEvaluations === undefined ? '' : `, beside ${earlierEvaluations} of earlier searches`
  const related = relatedModel ? ', from the curve of a related model' : ''
  return `${Number(evaluationsDone.toFixed(2))} of ${evaluationsBudget} evaluations${earlier}${related}`
}

function renderPredictorError({ predictorError }: Progress): string {
  if (predictorError === null) return "predictor's error: not known yet"
  const { meanAbsoluteError, intervalCoverage, evaluations, round, drift } = predictorError
  // A mean absolute error of log-perplexity is a relative error of perplexity.
  const error = formatPercent(Math.expm1(meanAbsoluteError), 1)
  return `predictor's error on unseen policies: ${error} (round ${round}, ${evaluations} measured, ${formatPercent(intervalCoverage)} within its 90 % interval${drift ? ', too few: the next round explores' : ''})`
}
