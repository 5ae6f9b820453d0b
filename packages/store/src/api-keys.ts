import { createHash, randomBytes } from 'node:crypto'
import type { Database } from './database.js'
import { createId } from './ids.js'
import type { ApiKeyStore } from './store.js'

/** Characters of a key that are stored readable, so that people can tell keys apart. */
const prefixLength = 10

export function createApiKeyStore({ client }: Database): ApiKeyStore {
  return {
    async create({ teamId, name, key = `esp_${randomBytes(32).toString('base64url')}` }) {
      const hash = hashKey(key)
      const { id } = await client.apiKey.upsert({
        where: { hash },
        create: { id: createId('key'), teamId, name, prefix: key.slice(0, prefixLength), hash },
        update: {},
        select: { id: true },
      })
      return { keyId: id, key }
    },

    async find(key) {
      const found = await client.apiKey.findUnique({
        where: { hash: hashKey(key) },
        select: { id: true, teamId: true, revokedAt: true },
      })
      if (found === null || found.revokedAt !== null) return undefined
      // Once a minute is exact enough for people and spares a write a request.
      await client.$executeRaw`
        UPDATE "ApiKey" SET "lastUsedAt" = now()
        WHERE id = ${found.id} AND ("lastUsedAt" IS NULL OR "lastUsedAt" < now() - interval '1 minute')`
      return { teamId: found.teamId, keyId: found.id }
    },
  }
}

/** Keys are 32 random bytes, so a plain fast hash is enough: there is nothing to guess. */
function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}
