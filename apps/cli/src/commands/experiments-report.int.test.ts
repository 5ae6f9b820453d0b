import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { experimentsReportSchema } from '@espalier/contracts'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createRecordedTerminal } from '../output/recorded-terminal.test-support.js'
import { runCommandLine } from '../run-command-line.js'

const model = fileURLToPath(new URL('../../../../packages/model-graph/fixtures/models/llama-gqa', import.meta.url))

async function run(...args: string[]) {
  const recorded = createRecordedTerminal()
  const code = await runCommandLine(['experiments', ...args], recorded.terminal)
  return { code, printed: recorded.printed(), noted: recorded.noted() }
}

describe('espalier experiments', () => {
  let folder: string
  let quick: string[]
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'espalier-report-'))
    for (const [index, split] of ['calibration', 'validation', 'test'].entries()) {
      const ids = Array.from({ length: 640 }, (_, token) => (token * (7 + index) + token ** 2) % 512)
      await writeFile(join(folder, `${split}.json`), JSON.stringify(ids))
    }
    quick = ['--model', model, '--texts', folder, '--quick', '--seeds', '1']
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('writes all parts with their plots; what is there is not measured again', async () => {
    const out = join(folder, 'out')
    const first = await run(...quick, '--out', out, '--parts', '2,3')
    expect([first.code, first.noted]).toEqual([0, expect.stringMatching(/part 2 \(1 of 2\)[\s\S]*done in/)])
    const all = await run(...quick, '--out', out, '--json')
    expect([all.code, all.noted]).toEqual([0, expect.stringMatching(/part 3 \(3 of 7\): .*: is in .* already/)])
    const report = experimentsReportSchema.parse(JSON.parse(all.printed))
    expect(report.parts.map(({ part }) => part)).toEqual([1, 2, 3, 4, 5, 6, 7])
    const files = await readdir(out)
    const text = await readFile(join(out, 'report.md'), 'utf8')
    for (const { plots, tables, title } of report.parts) {
      expect(text).toContain(title)
      expect(tables.every(({ rows }) => rows.length > 0)).toBe(true)
      for (const { name } of plots) expect(files).toContain(`${name}.svg`)
    }
    expect(text).not.toMatch(/NaN|undefined|Infinity/)
    const stored = experimentsReportSchema.parse(JSON.parse(await readFile(join(out, 'report.json'), 'utf8')))
    expect(stored.parts).toHaveLength(7)

    const other = await run(...quick, '--seeds', '5', '--out', out)
    expect([other.code, other.noted]).toEqual([1, expect.stringMatching(/other settings \(seeds\)[\s\S]*--fresh/)])
  })

  it('says what is wrong', async () => {
    const part = await run('--parts', '1,8')
    expect([part.code, part.noted]).toEqual([2, expect.stringMatching(/"8" is no part .* 1, 2, 3, 4, 5, 6, 7/)])
    const texts = await run('--model', model, '--out', join(folder, 'none'))
    expect([texts.code, texts.noted]).toEqual([1, expect.stringMatching(/neither calibration.txt .* give --texts DIR/)])
    const help = await run('--help')
    expect([help.code, help.printed]).toEqual([0, expect.stringMatching(/--parts[\s\S]*predictor/)])
  })
})
