import { readFile } from 'node:fs/promises'
import { EspalierError, type PolicyFile, policyFileSchema } from '@espalier/contracts'

/**
 * Reads a policy file.
 * @throws EspalierError POLICY_INVALID with the file and, for each thing wrong, where
 */
export async function readPolicy(file: string): Promise<PolicyFile> {
  const parsed = policyFileSchema.safeParse(await readJson(file))
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.') || 'the file'}: ${message}`)
  throw new EspalierError(
    'POLICY_INVALID',
    `${file} is not a policy of format espalier-policy/1\n${problems.join('\n')}`,
    {
      file,
      problems,
    },
  )
}

async function readJson(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new EspalierError('POLICY_INVALID', `${file} cannot be read: ${reason}`, { file }, { cause })
  }
}
