import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { compensations, importanceMetrics, policyFileSchema } from '@espalier/contracts'
import { childEnvironment } from '@espalier/runtime'
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals'
import { z } from 'zod'

const bin = fileURLToPath(new URL('../../bin/espalier.js', import.meta.url))
const texts = fileURLToPath(new URL('../../../../models/demo/texts/', import.meta.url))

/** What `espalier search --json` promises. */
const resultSchema = z.object({
  dense: z.object({ validationPerplexity: z.number(), testPerplexity: z.number() }),
  evaluations: z.object({ total: z.int() }),
  method: z.object({
    metric: z.enum(importanceMetrics),
    compensation: z.enum(compensations),
    trials: z.array(z.object({ metric: z.enum(importanceMetrics), perplexity: z.number() })),
  }),
  targets: z.array(
    z.object({
      sparsityTarget: z.number(),
      sparsity: z.number(),
      validationPerplexity: z.number(),
      testPerplexity: z.number(),
      bitsPerByte: z.number().positive(),
      klDivergence: z.number().positive(),
      top1Agreement: z.number().gt(0.1).lt(1),
      uniform: z.object({ testPerplexity: z.number() }),
      compensations: z.array(z.object({ compensation: z.enum(compensations), testPerplexity: z.number() })),
      artifacts: z.array(z.object({ perplexity: z.number(), compensationWritten: z.boolean() })),
      policy: policyFileSchema,
      predicted: z.object({ perplexity: z.number(), low: z.number(), high: z.number() }),
    }),
  ),
})

let home: string
const started: ChildProcess[] = []

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'espalier-search-'))
})
afterEach(async () => {
  for (const child of started.splice(0)) await end(child, 'SIGTERM')
  await rm(home, { recursive: true, force: true })
})

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  child.kill(signal)
  const [code] = await once(child, 'close')
  return code
}

/** Starts `espalier` as a user does, in a home of the test's own. */
function start(...args: string[]) {
  const environment = { ESPALIER_HOME: home, DATABASE_URL: '', REDIS_URL: '', ESPALIER_URL: '', NODE_OPTIONS: '' }
  const child = spawn(process.execPath, [bin, ...args], {
    env: childEnvironment(environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  started.push(child)
  const output = { out: '', error: '' }
  child.stdout.on('data', (chunk: Buffer) => {
    output.out += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    output.error += chunk.toString()
  })
  return {
    child,
    output,
    ended: once(child, 'close').then(([code]) => code),
    /** The first group of the pattern, once standard error has it. */
    async untilNoted(pattern: RegExp): Promise<string> {
      for (;;) {
        const found = pattern.exec(output.error)
        if (found) return found[1] ?? found[0]
        if (child.exitCode !== null) throw new Error(`espalier ended with ${child.exitCode}: ${output.error}`)
        await sleep(50)
      }
    },
  }
}

// 16 windows of 64 tokens: two for each of the 512 channels, enough for least squares.
const windows = ['--window', '64', '--calibration-windows', '16', '--validation-windows', '8', '--final-windows', '32']
const settings = [...windows, '--seed', '3']

describe('espalier search', () => {
  it('needs nothing but itself, and finds what `espalier ppl` measures again', async () => {
    const out = join(home, 'pruned')
    const args = ['--targets', '0.4', '--budget', '20', '--out', out, '--json']
    const search = start('search', 'demo', ...settings, ...args)
    expect({ code: await search.ended, error: search.output.error }).toMatchObject({ code: 0 })
    const result = resultSchema.parse(JSON.parse(search.output.out))
    expect(result.evaluations.total).toBe(20)
    const { compensation, metric, trials } = result.method
    expect(compensation).toBe('least-squares')
    expect(trials.map((trial) => trial.metric)).toEqual(['wanda', 'fluctuation', 'obs'])
    const best = Math.min(...trials.map((trial) => trial.perplexity))
    expect(trials.find((trial) => trial.metric === metric)?.perplexity).toBe(best)
    const [target] = result.targets
    if (target === undefined) throw new Error('no target')
    expect(0.4 - target.sparsity).toBeGreaterThanOrEqual(0)
    expect(0.4 - target.sparsity).toBeLessThan(1 / 5632)
    expect(target.testPerplexity).toBeLessThan(target.uniform.testPerplexity)
    expect(target.policy).toMatchObject({ metric, compensation })
    const [none, mean, fitted] = target.compensations.map(({ testPerplexity }) => testPerplexity)
    expect(fitted).toBeLessThan(Math.min(none ?? 0, mean ?? 0))
    for (const { perplexity, compensationWritten } of target.artifacts) {
      expect(compensationWritten).toBe(true)
      expect(Math.abs(perplexity / target.validationPerplexity - 1)).toBeLessThan(1e-3)
    }
    expect(await readdir(join(out, 'sparsity-40', 'onnx'))).toContain('policy.json')
    expect(await readdir(join(out, 'sparsity-40', 'huggingface'))).toContain('config.json')
    expect(await readdir(home)).not.toContain('service.json')

    const policy = join(home, 'policy.json')
    await writeFile(policy, JSON.stringify(target.policy))
    const calibration = ['--calibration-text', `${texts}calibration.txt`, '--calibration-windows', '16']
    const measured = start(
      ...[
        'ppl',
        'demo',
        '--text',
        `${texts}test.txt`,
        '--window',
        '64',
        '--windows',
        '32',
        '--policy',
        policy,
        ...calibration,
        '--json',
      ],
    )
    expect(await measured.ended).toBe(0)
    const { perplexity } = z.object({ perplexity: z.number() }).parse(JSON.parse(measured.output.out))
    expect(Math.abs(perplexity / target.testPerplexity - 1)).toBeLessThan(1e-6)
  }, 180_000)

  it('stops cleanly at Ctrl-C, and the search goes on when the service is up again', async () => {
    const args = ['--targets', '0.3', '--budget', '12']
    const search = start('search', 'demo', ...settings, ...args)
    const id = await search.untilNoted(/search (\S+) of /)
    await search.untilNoted(/SEARCHING/)
    search.child.kill('SIGINT')
    expect(await search.ended).toBe(130)
    expect(search.output.error).toContain(`espalier watch ${id}`)
    expect(search.output.out).toBe('')
    expect(await readdir(home)).not.toContain('service.json')

    const up = start('up', '--port', '0')
    while (!/runs at/.test(up.output.out)) await sleep(100)
    const watch = start('watch', id, '--json')
    expect({ code: await watch.ended, error: watch.output.error }).toMatchObject({ code: 0 })
    expect(resultSchema.parse(JSON.parse(watch.output.out)).evaluations.total).toBe(12)
    const again = start('cancel', id)
    expect(await again.ended).toBe(1)
    expect(again.output.error).toContain('code SEARCH_STATE_CONFLICT')
    expect(await end(up.child, 'SIGINT')).toBe(0)
  }, 180_000)

  it('starts from what the one before measured, unless told not to', async () => {
    const startedFrom = async (...transfer: string[]) => {
      const search = start('search', 'demo', ...settings, '--targets', '0.3', '--budget', '12', ...transfer, '--json')
      expect({ code: await search.ended, error: search.output.error }).toMatchObject({ code: 0 })
      return z.object({ evaluations: z.unknown() }).parse(JSON.parse(search.output.out)).evaluations
    }
    expect(await startedFrom('--transfer', 'none')).not.toHaveProperty('earlier')
    // Both that went before had the same seed and measured the same policies.
    expect(await startedFrom()).toMatchObject({ total: 12, earlier: 12 })
  }, 180_000)
})
