import type { TaskScore } from '@espalier/tasks'
import type { TasksReport } from '../measure-tasks.js'
import { formatPercent } from './format-values.js'
import { renderTable } from './render-table.js'
import type { Colors } from './terminal.js'

/** Table of the scores of every task, dense and policy side by side. */
export function renderTasks({ protocol, policy, tasks, tokens, seconds }: TasksReport, colors: Colors): string {
  const right = (title: string) => ({ title, align: 'right' as const })
  const metrics = ['acc', 'acc_norm'] as const
  const columns = metrics.flatMap((metric) => [
    right(policy === null ? metric : `${metric} dense`),
    ...(policy === null ? [] : [right('policy')]),
  ])
  const rows = tasks.map((report) => [
    report.task,
    String(report.dense.documents),
    ...metrics.flatMap((metric) => [
      formatScore(report.dense, metric),
      ...(report.policy === null ? [] : [formatScore(report.policy, metric)]),
    ]),
  ])
  const pruned =
    policy === null
      ? []
      : [`policy: ${formatPercent(policy.sparsity, 2)} pruned by ${policy.metric}, compensation ${policy.compensation}`]
  return [
    ...renderTable([{ title: 'task' }, right('documents'), ...columns], rows, colors),
    '',
    ...pruned,
    `${protocol}; share of documents answered rightly ± standard error`,
    ...tasks.map(({ task, files }) => `${task}: ${files.join(', ')}`),
    `${tokens} tokens in ${seconds.toFixed(1)} s`,
  ].join('\n')
}

function formatScore(score: TaskScore, metric: 'acc' | 'acc_norm'): string {
  const [value, error] = [score[metric], score[`${metric}_stderr`]]
  if (value === null) return '-'
  return error === null ? value.toFixed(4) : `${value.toFixed(4)} ± ${error.toFixed(4)}`
}
