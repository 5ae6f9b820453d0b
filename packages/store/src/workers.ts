import type { Database } from './database.js'
import { createId } from './ids.js'
import { fromJson, toJson } from './json.js'
import { milliseconds, workerAliveMs } from './lease-rules.js'
import type { WorkerRow } from './records.js'
import type { WorkerStore } from './store.js'

export function createWorkerStore({ client }: Database): WorkerStore {
  return {
    async register({ id = createId('wor'), teamId = null, role, node, pid, details }) {
      const values = { teamId, role, node, pid, details: toJson(details) }
      await client.worker.upsert({ where: { id }, create: { id, ...values }, update: values })
      return id
    },

    async heartbeat(id) {
      const count = await client.$executeRaw`UPDATE "Worker" SET "heartbeatAt" = now() WHERE id = ${id}`
      return count > 0
    },

    async list() {
      const rows = await client.$queryRaw<WorkerRow[]>`
        SELECT *, role::text, "heartbeatAt" > now() - ${milliseconds(workerAliveMs)} AS alive FROM "Worker" ORDER BY id`
      return fromJson<readonly WorkerRow[]>(rows)
    },

    async remove(id) {
      await client.worker.deleteMany({ where: { id } })
    },

    removeDead: (deadMs) =>
      client.$executeRaw`DELETE FROM "Worker" WHERE "heartbeatAt" < now() - ${milliseconds(deadMs)}`,
  }
}
