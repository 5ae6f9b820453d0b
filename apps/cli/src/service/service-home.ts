import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

/** What lies where in the home of a service (`ESPALIER_HOME`). */
export function serviceFilesOf(home: string) {
  return {
    /** Address of the running service; there while it runs. */
    service: join(home, 'service.json'),
    /** Who owns the home; see `claimHome`. */
    lock: join(home, 'service.lock'),
    /** The admin key, mode 0600. */
    adminKey: join(home, 'admin-key'),
    /** One file a role. */
    logs: join(home, 'logs'),
    /** One file for each command that uses the service; see `attachToService`. */
    clients: join(home, 'clients'),
    /** The embedded Postgres. */
    postgres: join(home, 'postgres'),
  }
}

const serviceFileSchema = z.object({ pid: z.int(), url: z.url(), startedAt: z.string() })
export type ServiceFile = z.infer<typeof serviceFileSchema>

/** What the running service, or one that was killed, wrote about itself; undefined: nothing that can be read. */
export async function findServiceFile(home: string): Promise<ServiceFile | undefined> {
  try {
    return serviceFileSchema.parse(JSON.parse(await readFile(serviceFilesOf(home).service, 'utf8')))
  } catch {
    return undefined
  }
}
