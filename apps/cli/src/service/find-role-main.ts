import { createRequire } from 'node:module'
import { EspalierError } from '@espalier/contracts'

export const serviceRoles = ['api', 'dispatcher', 'agent-worker', 'predictor-worker', 'evaluator-worker'] as const
export type ServiceRole = (typeof serviceRoles)[number]

/** Path of what a role's process runs; throws SERVICE_UNAVAILABLE when it is not built. */
export function findRoleMain(role: ServiceRole): string {
  try {
    return createRequire(import.meta.url).resolve(`@espalier/${role}/dist/main.js`)
  } catch (cause) {
    throw new EspalierError('SERVICE_UNAVAILABLE', `The ${role} is not built: run npm run build`, { role }, { cause })
  }
}
