import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from '@jest/globals'
import { chooseTaskSources } from './task-sources.js'

const folder = mkdtempSync(join(tmpdir(), 'espalier-task-sources-'))
afterAll(() => rmSync(folder, { recursive: true }))
mkdirSync(join(folder, 'piqa'))
for (const file of ['arc_easy.jsonl.gz', 'boolq.parquet', 'arc_easy.txt', 'other.jsonl']) {
  writeFileSync(join(folder, file), '')
}

const choose = async (tasks: string[], data: string[]) => Object.fromEntries(await chooseTaskSources(tasks, data))

it('finds each task in a folder of several', async () => {
  expect(await choose(['arc_easy', 'piqa', 'boolq'], [folder])).toEqual({
    arc_easy: join(folder, 'arc_easy.jsonl.gz'),
    piqa: join(folder, 'piqa'),
    boolq: join(folder, 'boolq.parquet'),
  })
})

it('takes what is named for a task before the folder', async () => {
  expect(await choose(['arc_easy', 'boolq'], [folder, 'boolq=hf://datasets/a/b/c.parquet'])).toEqual({
    arc_easy: join(folder, 'arc_easy.jsonl.gz'),
    boolq: 'hf://datasets/a/b/c.parquet',
  })
})

it('takes a source as it is when there is one task', async () => {
  expect(await choose(['winogrande'], [folder])).toEqual({ winogrande: folder })
  expect(await choose(['winogrande'], ['winogrande=x::test'])).toEqual({ winogrande: 'x::test' })
})

it('refuses a folder with two files of a task', async () => {
  writeFileSync(join(folder, 'boolq.jsonl'), '')
  await expect(chooseTaskSources(['boolq'], [folder])).rejects.toThrow(/boolq.jsonl and boolq.parquet/)
})
