import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { createRecordedTerminal } from '../output/recorded-terminal.test-support.js'
import { runCommandLine } from '../run-command-line.js'

const evaluations = fileURLToPath(
  new URL('../../../../packages/predictor/fixtures/policies-demo.json', import.meta.url),
)

async function run(...args: string[]) {
  const recorded = createRecordedTerminal()
  const code = await runCommandLine(['experiments', 'predictor', ...args], recorded.terminal)
  return { code, printed: recorded.printed(), noted: recorded.noted() }
}

describe('espalier experiments predictor', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'espalier-experiments-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it('prints one object with the accuracy of every kind, or a table of it', async () => {
    const options = ['--evaluations', evaluations, '--train-size', '25', '--draws', '0']
    const { code, printed } = await run(...options, '--json')
    expect(code).toBe(0)
    const report: unknown = JSON.parse(printed)
    const result = (predictor: string) => ({
      ...{ predictor, trainSize: 25, heldOut: 592 },
      withinBinSpearman: expect.any(Number),
      spearman: expect.any(Number),
      meanAbsoluteError: expect.any(Number),
      intervalCoverage: expect.any(Number),
      trainingSeconds: expect.any(Number),
      runs: [expect.objectContaining({ order: 'file' })],
    })
    expect(report).toMatchObject({
      model: 'demo',
      evaluations: 617,
      results: ['curve', 'cnn', 'linear', 'sparsity'].map(result),
    })
    const table = await run(...options, '--predictors', 'linear,sparsity')
    expect(table.printed).toMatch(/25 {2}linear +0\.\d{3} +0\.\d{3} +\d\.\d{3} +\d+ % +0\.\d{2}\n.*25 {2}sparsity /)
  })

  it('says what is wrong with a file and where', async () => {
    const file = join(folder, 'other.json')
    await writeFile(file, '{"format":"espalier-evaluations/1","model":{"name":"m","modules":[]}}')
    const other = await run('--evaluations', file)
    expect(other.code).toBe(1)
    expect(other.noted).toMatch(/other.json is not of format espalier-evaluations\/1[\s\S]*model.modules: /)
    expect((await run('--evaluations', join(folder, 'absent.json'))).noted).toMatch(/absent.json cannot be read/)
    const many = await run('--evaluations', evaluations, '--train-size', '1000')
    expect(many.noted).toMatch(/Training on 1000 evaluations is not possible: at most 607 of 617/)
  })

  it('is used wrongly: exit code 2, and it says what is allowed', async () => {
    const size = await run('--evaluations', evaluations, '--train-size', '30,x')
    expect([size.code, size.noted]).toEqual([2, expect.stringMatching(/"x" is not a whole number of 1 or more/)])
    const kind = await run('--evaluations', evaluations, '--predictors', 'gru')
    expect([kind.code, kind.noted]).toEqual([2, expect.stringMatching(/there are curve, cnn, linear, sparsity/)])
  })
})
