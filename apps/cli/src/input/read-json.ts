import { readFile } from 'node:fs/promises'
import { type ErrorCode, EspalierError } from '@espalier/contracts'
import type { z } from 'zod'

/**
 * Reads a JSON file; `what` it should be stands in the error, e.g. "a policy of format espalier-policy/1".
 * @throws EspalierError `code` with the file and, for each thing wrong, where
 */
export async function readJsonFile<T>(file: string, schema: z.ZodType<T>, what: string, code: ErrorCode): Promise<T> {
  const parsed = schema.safeParse(await parseJsonFile(file, code))
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the file'}: ${message}`)
  const message = `${file} is not ${what}\n${problems.slice(0, 10).join('\n')}`
  throw new EspalierError(code, message, { file, problems })
}

async function parseJsonFile(file: string, code: ErrorCode): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new EspalierError(code, `${file} cannot be read: ${reason}`, { file }, { cause })
  }
}
