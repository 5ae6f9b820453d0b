import type { ArtifactResource, SearchDetailResource } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import { formatBytes, formatCount, formatPerplexity, formatSeconds, formatTarget } from './format-values.js'
import { createRecordedTerminal } from './recorded-terminal.test-support.js'
import { renderProgress, renderProgressLine } from './render-progress.js'
import { describeResult, renderResult } from './render-result.js'
import { truncateVisible } from './terminal.js'

const { colors } = createRecordedTerminal().terminal
const at = '2026-01-01T00:00:00.000Z'

const best = [
  { sparsityTarget: 0.2, bestPerplexity: 21.91, uniformPerplexity: 22.741 },
  { sparsityTarget: 0.5, bestPerplexity: null, uniformPerplexity: 35.708 },
]
const search: SearchDetailResource = {
  id: 's1',
  name: 'demo',
  model: { id: 'm1', name: 'bundled' },
  state: 'SEARCHING',
  waitReason: null,
  settings: {
    targets: [0.2, 0.5],
    ...{ budget: 99, seed: 1, agent: 'network', metric: 'wanda', compensation: 'mean', windowLength: 256 },
    ...{ calibrationWindows: 16, validationWindows: 16, finalWindows: null, finalists: 3, minimumImprovement: 0 },
    texts: { calibration: 'c', validation: 'v', test: 't' },
    exports: ['onnx'],
  },
  progress: {
    state: 'SEARCHING',
    ...{ round: 2, rounds: 6, evaluationsDone: 57, evaluationsBudget: 99, fraction: 0.5, densePerplexity: 21.23 },
    targets: best,
    method: null,
    predictorError: { round: 1, evaluations: 9, meanAbsoluteError: 0.02, intervalCoverage: 8 / 9, drift: false },
    ...{ elapsedSeconds: 31, etaSeconds: 32 },
  },
  best,
  result: null,
  error: null,
  ...{ createdAt: at, startedAt: at, finishedAt: null },
  steps: [],
}

const policy = {
  format: 'espalier-policy/1' as const,
  metric: 'wanda' as const,
  compensation: 'mean' as const,
  keep: [],
}
const finished: SearchDetailResource = {
  ...search,
  state: 'SUCCEEDED',
  result: {
    dense: { validationPerplexity: 21.23, testPerplexity: 22.76 },
    evaluations: { total: 99, seconds: 40, fitSeconds: 2 },
    method: { metric: 'wanda', compensation: 'mean', reasons: ['metric: wanda, because'], trials: [] },
    rounds: [],
    targets: [
      {
        sparsityTarget: 0.2,
        sparsity: 0.19993,
        keptUnits: [],
        validationPerplexity: 21.9,
        finalPerplexity: 22.1,
        testPerplexity: 23.39,
        ...{ bitsPerByte: 1.214, klDivergence: 0.0812, top1Agreement: 0.871 },
        uniform: { keptUnits: [], validationPerplexity: 22.74, testPerplexity: 24.61 },
        compensations: [
          { compensation: 'none', testPerplexity: 24.1 },
          { compensation: 'mean', testPerplexity: 23.9 },
        ],
        predicted: { perplexity: 22, low: 21, high: 23 },
        policy,
      },
    ],
  },
}
const artifact: ArtifactResource = {
  ...{ id: 'a1', targetIndex: 0, sparsityTarget: 0.2, sparsity: 0.19993, format: 'onnx', parameters: 2_991_936 },
  ...{ bytes: 12_000_000, compensationWritten: true, note: null, perplexity: 21.9, expectedPerplexity: 21.9 },
  ...{ directory: '/store/a1', files: [], createdAt: at },
}

describe('progress of a search', () => {
  it('shows stage, round, evaluations, best against uniform, the error of the predictor and the time left', () => {
    expect(renderProgress(search, colors)).toEqual([
      'SEARCHING   round 2 of 6  57 of 99 evaluations',
      '████████████░░░░░░░░░░░░  50 %  0:31 so far  ETA 0:32',
      'target  best so far  uniform  change',
      '──────  ───────────  ───────  ──────',
      '  20 %        21.91    22.74  -3.7 %',
      '  50 %            -    35.71       -',
      "predictor's error on unseen policies: 2.0 % (round 1, 9 measured, 89 % within its 90 % interval)",
    ])
    expect(renderProgressLine(search)).toMatch(/^SEARCHING {2}round 2\/6 {2}57 of 99 evaluations {2}20 %: 21\.91/)
  })

  it('says why it waits', () => {
    const waiting = { ...search, state: 'QUEUED' as const, progress: null, waitReason: 'no evaluator is there' }
    expect(renderProgress(waiting, colors)).toEqual(['QUEUED  no evaluator is there'])
    expect(renderProgress({ ...search, waitReason: 'waiting: team B is ahead' }, colors)).toContain(
      'waiting: team B is ahead',
    )
  })
})

describe('result of a search', () => {
  const all = { search: finished, artifacts: [artifact], folderOf: () => '/out/sparsity-20/onnx' }

  it('is a table and the place of the pruned models', () => {
    const lines = renderResult(all, colors)
    expect(lines).toContain(
      'target  sparsity  dense  uniform  found  change  bits/byte     KL   top-1  parameters  ONNX size',
    )
    expect(lines).toContain(
      '  20 %   19.99 %  22.76    24.61  23.39  -5.0 %      1.214  0.081  87.1 %      2.99 M    12.0 MB',
    )
    expect(lines).toContain('  20 % onnx           /out/sparsity-20/onnx')
    expect(lines).toContain('  metric: wanda, because')
    expect(lines).toContain('target   none   mean')
    expect(lines).toContain('  20 %  24.10  23.90')
    expect(lines).toContain('Fitting weights took 5.0 % of the time of evaluations')
    expect(lines).toContain('99 evaluations on the validation split; search s1')
  })

  it('is one object that has all numbers', () => {
    expect(JSON.parse(JSON.stringify(describeResult(all)))).toMatchObject({
      dense: { validationPerplexity: 21.23, testPerplexity: 22.76 },
      evaluations: { total: 99 },
      targets: [
        {
          ...{ sparsityTarget: 0.2, sparsity: 0.19993, validationPerplexity: 21.9, testPerplexity: 23.39 },
          uniform: { testPerplexity: 24.61 },
          policy,
          predicted: { perplexity: 22, low: 21, high: 23 },
          artifacts: [{ format: 'onnx', directory: '/out/sparsity-20/onnx' }],
        },
      ],
    })
  })
})

describe('values', () => {
  it('have the digits a person needs', () => {
    expect([0.2, 0.35, 0.125, 0.07].map((sparsityTarget) => formatTarget({ sparsityTarget }))).toEqual([
      '20 %',
      '35 %',
      '12.5 %',
      '7 %',
    ])
    expect([21.2349, 1234.5, 1e7, null].map(formatPerplexity)).toEqual(['21.23', '1235', '1.000e+7', '-'])
    expect([950, 9_999, 40_960, 3_640_512, 7.2e9].map(formatCount)).toEqual([
      '950',
      '9999',
      '41.0 k',
      '3.64 M',
      '7.20 G',
    ])
    expect([12, 2048, 7_281_024, 14.2e9].map(formatBytes)).toEqual(['12 B', '2.05 kB', '7.28 MB', '14.2 GB'])
    expect([0.4, 59.6, 95, 3700].map(formatSeconds)).toEqual(['0:00', '1:00', '1:35', '1:01:40'])
  })

  it('fit a narrow terminal without losing the end of a colour', () => {
    expect(truncateVisible('\u001b[31mabcdef\u001b[39m', 3)).toBe('\u001b[31mabc\u001b[39m')
    expect(truncateVisible('abc', 3)).toBe('abc')
  })
})
