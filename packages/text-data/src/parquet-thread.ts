import { parentPort, workerData } from 'node:worker_threads'
import { recordError } from '@espalier/contracts'
import type { ParquetThreadData, ParquetThreadMessage } from './parquet-messages.js'
import { readParquet } from './read-parquet.js'
import { readParquetRecords } from './read-parquet-records.js'

/** Decodes one row group at each message. Its owner ends it: a port closed here may take its last answer with it. */
const groups = openGroups(workerData)

parentPort?.on('message', async () => {
  parentPort?.postMessage(await next())
})

async function* openGroups({ file, wanted, mostRows }: ParquetThreadData): AsyncGenerator<ParquetThreadMessage> {
  if ('column' in wanted) {
    for await (const rows of readParquet(file, wanted.column, mostRows)) yield { kind: 'rows', rows }
  } else {
    for await (const records of readParquetRecords(file, wanted.columns, mostRows)) yield { kind: 'records', records }
  }
}

async function next(): Promise<ParquetThreadMessage> {
  try {
    const group = await groups.next()
    return group.done === true ? { kind: 'end' } : group.value
  } catch (error) {
    return { kind: 'error', error: recordError(error) }
  }
}
