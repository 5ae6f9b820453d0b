import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { UsageError } from './command-errors.js'

/** Endings that a file of records may have behind the name of its task. */
const recordEnding = /^\.(parquet|(jsonl|ndjson|json)(\.gz)?)$/

/**
 * Where the documents of each task are: `TASK=SOURCE` for one of them, or one source for all, which is the data of
 * the only task or a folder with `TASK.jsonl`, `TASK.parquet` or a folder `TASK` for each.
 *
 * @param data values of --data
 * @throws UsageError when a task has no source or more than one
 */
export async function chooseTaskSources(
  tasks: readonly string[],
  data: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const named = data.flatMap((value) => {
    const task = tasks.find((name) => value.startsWith(`${name}=`))
    return task === undefined ? [] : [{ task, source: value.slice(task.length + 1) }]
  })
  const common = data.filter((value) => !tasks.some((name) => value.startsWith(`${name}=`)))
  const sources = new Map<string, string>()
  for (const task of tasks) {
    const own = named.filter((each) => each.task === task).map(({ source }) => source)
    const [source, ...others] = own.length > 0 ? own : common
    if (source === undefined) throw new UsageError(`${task} has no documents: give --data ${task}=FILE`)
    if (others.length > 0) throw new UsageError(`${task} has several sources: give one --data ${task}=FILE`)
    sources.set(task, own.length > 0 ? source : await findWithin(source, task, tasks.length > 1))
  }
  return sources
}

/** The file or folder of a task within a folder of several; else the source itself. */
async function findWithin(source: string, task: string, isShared: boolean): Promise<string> {
  const found = await stat(source).catch(() => null)
  const entries = found?.isDirectory() ? await readdir(source) : []
  const inside = entries.filter(
    (name) => name === task || (name.startsWith(task) && recordEnding.test(name.slice(task.length))),
  )
  const [first, ...others] = inside
  if (others.length > 0) throw new UsageError(`${source} has ${inside.join(' and ')}: give --data ${task}=FILE`)
  if (first !== undefined) return join(source, first)
  if (!isShared) return source
  throw new UsageError(`${source} has neither ${task}.jsonl nor ${task}.parquet nor ${task}/: give --data ${task}=FILE`)
}
