import type { ArtifactResource, SearchDetailResource } from '@espalier/contracts'
import {
  formatBytes,
  formatChange,
  formatCount,
  formatPercent,
  formatPerplexity,
  formatTarget,
} from './format-values.js'
import { renderTable } from './render-table.js'
import type { Colors } from './terminal.js'

export interface FinishedSearch {
  readonly search: SearchDetailResource
  readonly artifacts: readonly ArtifactResource[]
  /** Where the files of a pruned model lie. */
  readonly folderOf: (artifact: ArtifactResource) => string
}

/** The table at the end of a search, and where the pruned models lie. */
export function renderResult({ search, artifacts, folderOf }: FinishedSearch, colors: Colors): string[] {
  const { result } = search
  if (result === null) return [`search ${search.id} ended as ${search.state} and has no result`]
  const { testPerplexity: dense } = result.dense
  const rows = result.targets.map((target, index) => {
    const artifact = artifacts.find(({ targetIndex, format }) => targetIndex === index && format === 'onnx')
    return [
      formatTarget(target),
      formatPercent(target.sparsity, 2),
      formatPerplexity(dense),
      formatPerplexity(target.uniform.testPerplexity),
      formatPerplexity(target.testPerplexity),
      formatChange(target.testPerplexity, target.uniform.testPerplexity),
      target.bitsPerByte?.toFixed(3) ?? '-',
      target.klDivergence?.toFixed(3) ?? '-',
      target.top1Agreement === null ? '-' : formatPercent(target.top1Agreement, 1),
      artifact === undefined ? '-' : formatCount(artifact.parameters),
      artifact === undefined ? '-' : formatBytes(artifact.bytes),
    ]
  })
  const columns = [
    'target',
    'sparsity',
    'dense',
    'uniform',
    'found',
    'change',
    'bits/byte',
    'KL',
    'top-1',
    'parameters',
    'ONNX size',
  ]
  return [
    'Perplexity on the test split, which the search has not seen; change from uniform pruning to the policy found.',
    'Of the policy found: bits per byte; KL divergence from the dense model, nats a token; share of tokens at which both',
    'think the same token most probable:',
    '',
    ...renderTable(
      columns.map((title) => ({ title, align: 'right' })),
      rows,
      colors,
    ),
    '',
    ...renderMethod(result, colors),
    ...renderFolders(artifacts, folderOf),
    `${Number(result.evaluations.total.toFixed(2))} evaluations on the validation split${startOf(search, result)}; search ${search.id}`,
  ]
}

/** What it started from. */
function startOf({ progress }: SearchDetailResource, { evaluations: { earlier } }: Result): string {
  if (earlier !== undefined) return `, beside ${earlier} of earlier searches`
  return progress?.relatedModel ? ', from the curve of a related model' : ''
}

/** What the policies were pruned by, why, and what the compensation is worth. */
function renderMethod({ method, evaluations, targets }: Result, colors: Colors): string[] {
  if (method === null) return []
  const { metric, compensation, reasons } = method
  const named = reasons.length > 0 ? ['Chosen:', ...reasons.map((reason) => `  ${reason}`)] : []
  const heading = named.length > 0 ? named : [`Importance metric ${metric}, compensation ${compensation}`]
  const compared = targets[0]?.compensations ?? []
  if (compared.length < 2) return [...heading, '']
  const rows = targets.map((target) => [
    formatTarget(target),
    ...target.compensations.map(({ testPerplexity }) => formatPerplexity(testPerplexity)),
  ])
  const titles = ['target', ...compared.map((entry) => entry.compensation)]
  const { seconds, fitSeconds } = evaluations
  const cost =
    seconds && fitSeconds
      ? [`Fitting weights took ${formatPercent(fitSeconds / seconds, 1)} of the time of evaluations`]
      : []
  return [
    ...heading,
    '',
    'The policies found under each compensation, on the first windows of the test split:',
    '',
    ...renderTable(
      titles.map((title) => ({ title, align: 'right' })),
      rows,
      colors,
    ),
    ...cost,
    '',
  ]
}

type Result = NonNullable<SearchDetailResource['result']>

function renderFolders(artifacts: readonly ArtifactResource[], folderOf: FinishedSearch['folderOf']): string[] {
  if (artifacts.length === 0) return []
  const lines = artifacts.map((artifact) => {
    const name = `${formatTarget(artifact)} ${artifact.format}`
    const note = artifact.note === null ? '' : ` (${artifact.note})`
    return `  ${name.padEnd(18)}  ${folderOf(artifact)}${note}`
  })
  return ['Pruned models, each loaded again and measured:', ...lines, '']
}

/** What `--json` prints: one object. */
export function describeResult({ search, artifacts, folderOf }: FinishedSearch) {
  const { result } = search
  return {
    search: search.id,
    state: search.state,
    model: search.model.name,
    dense: result?.dense ?? null,
    evaluations: result?.evaluations ?? { total: search.progress?.evaluationsDone ?? 0 },
    method: result?.method ?? null,
    rounds: result?.rounds ?? [],
    targets: (result?.targets ?? []).map((target, index) => ({
      ...target,
      artifacts: artifacts
        .filter(({ targetIndex }) => targetIndex === index)
        .map((artifact) => ({
          format: artifact.format,
          directory: folderOf(artifact),
          parameters: artifact.parameters,
          bytes: artifact.bytes,
          perplexity: artifact.perplexity,
          compensationWritten: artifact.compensationWritten,
          note: artifact.note,
        })),
    })),
  }
}
