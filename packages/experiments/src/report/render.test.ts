import type { ExperimentsReport, ReportPlot } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import { createAxis } from './axis-ticks.js'
import { formatCell } from './format-cell.js'
import { renderPlot } from './render-plot.js'
import { renderReport } from './render-report.js'

const plot: ReportPlot = {
  name: 'a-plot',
  title: 'Error & <size>',
  x: { label: 'evaluations', scale: 'log' },
  y: { label: 'error', scale: 'linear' },
  series: [
    {
      name: 'ours',
      style: 'line',
      points: [
        [10, 1],
        [100, 0.5],
      ],
    },
    {
      name: 'limit',
      style: 'dashed',
      points: [
        [10, 0],
        [100, 0],
      ],
    },
    {
      name: 'seen',
      style: 'points',
      points: [
        [0, 1],
        [20, 0.7],
      ],
    },
  ],
}

describe('axes', () => {
  it('hold every value between round ticks', () => {
    const linear = createAxis([0.13, 0.87], 'linear')
    expect(linear.ticks).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1])
    expect(linear.place(0.5)).toBeCloseTo(0.5, 12)
    const log = createAxis([30, 240], 'log')
    expect(log.ticks).toEqual([20, 50, 100, 200, 500])
    expect(log.place(100)).toBeCloseTo(Math.log(5) / Math.log(25), 12)
    expect(createAxis([20.5, 40], 'log').ticks).toEqual([20, 25, 30, 35, 40])
    const wide = createAxis([1e-3, 1e45], 'log')
    expect(wide.ticks.length).toBeLessThan(11)
    expect(wide.from).toBeLessThanOrEqual(1e-3)
    expect(wide.to).toBeGreaterThanOrEqual(1e45)
  })

  it('exist for one value and for none', () => {
    for (const scale of ['linear', 'log'] as const) {
      for (const values of [[3], [], [Number.NaN]]) {
        const axis = createAxis(values, scale)
        expect(axis.to).toBeGreaterThan(axis.from)
        expect(axis.ticks.length).toBeGreaterThan(1)
        for (const value of values.filter(Number.isFinite)) {
          expect(axis.place(value)).toBeGreaterThanOrEqual(0)
          expect(axis.place(value)).toBeLessThanOrEqual(1)
        }
      }
    }
  })
})

describe('a plot', () => {
  it('is SVG with escaped words, every series in the legend, and no number that is none', () => {
    const svg = renderPlot(plot)
    expect(svg).toMatch(/^<svg [^>]*>\n<title>Error &amp; &lt;size&gt;<\/title>/)
    for (const { name } of plot.series) expect(svg).toContain(`>${name}</text>`)
    expect(svg).not.toMatch(/NaN|Infinity|undefined/)
    // 2 points of the line; 1 seen, as 0 has no place on a logarithmic axis, and its sign in the legend
    expect(svg.match(/<circle/g)).toHaveLength(4)
    expect(svg.trimEnd()).toMatch(/<\/svg>$/)
  })
})

it('writes numbers as their column says', () => {
  const shown = [
    formatCell(1234.5, 'count'),
    formatCell(0.5, 'percent'),
    formatCell(22.756, 'perplexity'),
    formatCell(2.5e-6, 'seconds'),
    formatCell(12.34, 'seconds'),
    formatCell(7.3e6, 'bytes'),
    formatCell(123456, 'times'),
    formatCell(0.123456, 'decimal'),
    formatCell(null, 'decimal'),
    formatCell(Number.NaN, 'decimal'),
  ]
  expect(shown).toEqual(['1,235', '50.0 %', '22.76', '2.5 us', '12.3 s', '7.30 MB', '123,000 x', '0.123', '-', '-'])
})

it('writes a report with its findings, tables and plots', () => {
  const report: ExperimentsReport = {
    format: 'espalier-experiments/1',
    settings: {
      ...{ model: 'demo', modelHash: 'c'.repeat(64), seeds: [1, 2], quick: true, evaluations: null, windowLength: 64 },
      texts: { calibration: 'a', validation: 'b', test: 'c' },
    },
    machine: { processor: 'a processor', threads: 2 },
    parts: [
      {
        ...{ part: 3, title: 'Time', method: 'Measured.', findings: ['A peer wins.'], plots: [plot], seconds: 12.3 },
        tables: [
          {
            title: 'Seconds',
            columns: [
              { title: 'what', format: 'text' },
              { title: 'time', format: 'seconds' },
            ],
            rows: [['one', 2]],
          },
        ],
      },
    ],
  }
  const text = renderReport(report)
  expect(text).toContain('# Experiments on demo')
  expect(text).toContain('`espalier experiments --quick --seeds 1,2`, parts 3')
  expect(text).toContain('Its numbers mean nothing')
  expect(text).toContain(
    '## 3. Time\n\n- A peer wins.\n\n**Seconds**\n\n| what | time |\n| --- | ---: |\n| one | 2.00 s |',
  )
  expect(text).toContain('![Error & <size>](a-plot.svg)')
})
