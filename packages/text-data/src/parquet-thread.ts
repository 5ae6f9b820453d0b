import { parentPort, workerData } from 'node:worker_threads'
import { recordError } from '@espalier/contracts'
import type { ParquetThreadData, ParquetThreadMessage } from './parquet-messages.js'
import { readParquet } from './read-parquet.js'

/** Decodes one row group at each message. Its owner ends it: a port closed here may take its last answer with it. */
const { file, column, mostRows }: ParquetThreadData = workerData
const groups = readParquet(file, column, mostRows)

parentPort?.on('message', async () => {
  parentPort?.postMessage(await next())
})

async function next(): Promise<ParquetThreadMessage> {
  try {
    const group = await groups.next()
    return group.done === true ? { kind: 'end' } : { kind: 'rows', rows: group.value }
  } catch (error) {
    return { kind: 'error', error: recordError(error) }
  }
}
