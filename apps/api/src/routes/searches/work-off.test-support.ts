import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EvaluatePayload, ExportPayload, StepResult } from '@espalier/contracts'
import { createSearchPlanner } from '@espalier/search'
import type { EvaluationProtocol, Lease } from '@espalier/store'
import type { TestApi } from '../../api.test-support.js'

const hash = (text: string) => createHash('sha256').update(text).digest('hex')
export const modelHash = hash('model')
const split = { artifact: hash('ids'), textHash: hash('text'), tokens: 20_000, windows: 16 }

const protocol: EvaluationProtocol = {
  ...{ windowLength: 256, windows: 16, dataHash: split.textHash, modelHash, precision: 'fp32' },
  ...{ metric: 'wanda', compensation: 'mean', runtime: { onnxruntime: '1.30.0' } },
}

/** What the pruned model's file holds in these tests. */
export const modelFile = Buffer.from('0123456789'.repeat(1000))

/**
 * Does the steps of a search of the agent `uniform` to its end, as dispatcher and evaluator would, over the real store;
 * only the numbers are made up: a perplexity that grows with the sparsity.
 */
export async function workOff({ store, services }: TestApi, searchId: string): Promise<void> {
  const workerId = await store.workers.register({ role: 'evaluator', node: 'test', pid: 1, details: {} })
  for (;;) {
    const advanced = await store.searches.advance(searchId, async (source) => {
      const planner = createSearchPlanner(source)
      for await (const step of source.steps) planner.add(step)
      return planner.plan(source.earlier)
    })
    if (!advanced || advanced.created.length === 0) return
    for (const { id } of advanced.created) {
      const lease = await store.steps.claim(id, { workerId, leaseMs: 60_000 })
      if (lease) await doStep(lease)
    }
  }

  async function doStep(lease: Lease): Promise<void> {
    if (lease.kind === 'prepare') {
      const splits = { calibration: split, validation: split, test: split }
      const calibration = { key: hash('key'), modelHash, dataHash: split.textHash, windowLength: 256, windows: 16 }
      const result = { modelHash, calibration: hash('calibration'), splits, seconds: 1 }
      const row = { ...calibration, artifact: result.calibration }
      await store.steps.complete(lease, result, { calibration: row, shape: null })
    }
    if (lease.kind === 'evaluate') await store.steps.complete(lease, measured(lease.payload), { protocol })
    if (lease.kind === 'export')
      await store.steps.complete(lease, await exported(services.artifacts, lease.payload), {})
  }
}

function measured({ sparsity, windows }: EvaluatePayload): StepResult<'evaluate'> {
  const logPerplexity = 3 + sparsity
  const tokens = windows * 255
  return {
    ...{ logPerplexity, perplexity: Math.exp(logPerplexity), tokens, seconds: 0.5 },
    nll: Array.from({ length: windows }, () => logPerplexity * 255),
  }
}

async function exported(artifacts: string, payload: ExportPayload): Promise<StepResult<'export'>> {
  const directory = `exports/${payload.targetIndex}-${payload.format}`
  await mkdir(join(artifacts, directory), { recursive: true })
  await writeFile(join(artifacts, directory, 'model.onnx'), modelFile)
  const sha256 = createHash('sha256').update(modelFile).digest('hex')
  const perplexity = Math.exp(payload.logPerplexity)
  return {
    ...{ directory, files: [{ name: 'model.onnx', bytes: modelFile.length, sha256 }], parameters: 1000 },
    ...{ compensationWritten: true, note: null, perplexity, expectedPerplexity: perplexity, seconds: 1 },
  }
}
