import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { ThreadClient } from './thread-client.js'

/** A thread that dies as its first life's only deed, and answers in its second. */
const mortal = (marker: string, deed: string) => `
  import { existsSync, writeFileSync } from 'node:fs'
  import { parentPort } from 'node:worker_threads'
  parentPort.on('message', ({ call }) => {
    if (!existsSync(${JSON.stringify(marker)})) {
      writeFileSync(${JSON.stringify(marker)}, '')
      ${deed}
    }
    parentPort.postMessage({ kind: 'done', value: null })
    if (call.kind === 'close') parentPort.close()
  })`

describe('ThreadClient', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'espalier-thread-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  it.each([
    ['exits', 'process.exit(7)', /exit code 7/],
    ['throws', "throw new Error('out of luck')", /out of luck/],
  ])('rejects when the thread %s, and starts another for the next call', async (name, deed, message) => {
    const file = join(folder, `${name}.mjs`)
    await writeFile(file, mortal(join(folder, `${name}.died`), deed))
    const client = new ThreadClient(pathToFileURL(file))
    const call = () => client.call('measureLogits', { path: '', tokens: noTokens, threads: 1 })
    await expect(call()).rejects.toMatchObject({ code: 'EVALUATION_FAILED', message: expect.stringMatching(message) })
    await expect(call()).resolves.toBeNull()
    await client.close()
    await expect(call()).rejects.toMatchObject({ code: 'EVALUATION_FAILED' })
  })

  it('rejects a call told to stop even when the thread had nothing left to do', async () => {
    const file = join(folder, 'fast.mjs')
    await writeFile(
      file,
      `import { parentPort } from 'node:worker_threads'
      parentPort.on('message', ({ call }) => {
        parentPort.postMessage({ kind: 'progress', windowsDone: 1 })
        parentPort.postMessage({ kind: 'done', value: null })
        if (call.kind === 'close') parentPort.close()
      })`,
    )
    const client = new ThreadClient(pathToFileURL(file))
    const controller = new AbortController()
    const call = (onProgress?: () => void) =>
      client.call(
        'measureLogits',
        { path: '', tokens: noTokens, threads: 1 },
        { signal: controller.signal, onProgress },
      )
    await expect(call()).resolves.toBeNull()
    await expect(call(() => controller.abort(new Error('enough')))).rejects.toThrow('enough')
    await client.close()
  })
})

const noTokens = { ids: new Int32Array(), windowLength: 2, windows: 1 }
