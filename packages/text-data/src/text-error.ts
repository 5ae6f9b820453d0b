import { type ErrorDetails, EspalierError } from '@espalier/contracts'

/** A text whose contents are not what they have to be. `problem` follows the name of the file. */
export function invalidText(file: string, problem: string, details: ErrorDetails = {}, cause?: unknown): EspalierError {
  return new EspalierError('TEXT_INVALID', `${file}: ${problem}`, { file, ...details }, { cause })
}

/** A text that is not there, or that may not be read. */
export function unreadableText(file: string, cause: unknown): EspalierError {
  if (Object(cause).code === 'ENOENT') {
    return new EspalierError('TEXT_NOT_FOUND', `${file} does not exist`, { file }, { cause })
  }
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new EspalierError('TEXT_NOT_FOUND', `${file} cannot be read: ${reason}`, { file }, { cause })
}
