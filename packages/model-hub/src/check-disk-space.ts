import { statfs } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { errorCodeOf } from './error-code.js'

/** Left free, so that logs and databases on the same disk go on. */
const reserveBytes = 64 * 2 ** 20

/**
 * Checks before a download that it will fit.
 *
 * @throws EspalierError MODEL_DISK_FULL with the bytes needed, the bytes free and the folder
 */
export async function checkDiskSpace(folder: string, neededBytes: number, what: string): Promise<void> {
  if (neededBytes <= 0) return
  const { bavail, bsize } = await statfs(folder)
  const freeBytes = bavail * bsize
  if (neededBytes + reserveBytes <= freeBytes) return
  throw new EspalierError(
    'MODEL_DISK_FULL',
    `${what}: ${neededBytes} bytes are needed in ${folder}, and ${reserveBytes} to spare, but only ${freeBytes} are ` +
      'free. Make room, or set HF_HOME (for archives ESPALIER_HOME) to a folder on a larger disk',
    { folder, neededBytes, reserveBytes, freeBytes },
  )
}

/** A disk that ran full while writing; every other error as it is. */
export function describeDiskFailure(error: unknown, path: string): unknown {
  const code = errorCodeOf(error)
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error
  return new EspalierError(
    'MODEL_DISK_FULL',
    `${path}: the disk ran full during the download. What has arrived is kept: make room and run the same command`,
    { file: path },
    { cause: error },
  )
}
