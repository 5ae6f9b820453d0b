import { readFile, stat } from 'node:fs/promises'
import { type ErrorCode, EspalierError } from '@espalier/contracts'

/** Reads a text file of a model folder. @throws EspalierError MODEL_UNREADABLE, or `code` when it is not UTF-8 */
export async function readModelText(path: string, maxBytes: number, code: ErrorCode): Promise<string> {
  let bytes: Uint8Array
  try {
    const { size } = await stat(path)
    if (size > maxBytes) throw new Error(`it has ${size} bytes, at most ${maxBytes} are read`)
    bytes = await readFile(path)
  } catch (cause) {
    const found = cause instanceof Error ? cause.message : String(cause)
    const details = { file: path, expected: `a file of at most ${maxBytes} bytes`, found }
    throw new EspalierError('MODEL_UNREADABLE', `${path} cannot be read: ${found}`, details, { cause })
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    const [expected, found] = ['UTF-8', 'bytes that are not']
    throw new EspalierError(code, `${path}: expected ${expected}, found ${found}`, { file: path, expected, found })
  }
}
