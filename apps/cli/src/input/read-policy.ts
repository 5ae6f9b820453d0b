import { type PolicyFile, policyFileSchema } from '@espalier/contracts'
import { readJsonFile } from './read-json.js'

/**
 * Reads a policy file.
 * @throws EspalierError POLICY_INVALID with the file and, for each thing wrong, where
 */
export function readPolicy(file: string): Promise<PolicyFile> {
  return readJsonFile(file, policyFileSchema, 'a policy of format espalier-policy/1', 'POLICY_INVALID')
}
