import { once } from 'node:events'
import { createServer } from 'node:net'
import { EspalierError } from '@espalier/contracts'

/** Where the API listens unless told otherwise, and if nobody else does. */
const usualPort = 7077

/**
 * The port for the API: the one wanted, or the usual one, or any free one.
 * @param wanted null: no wish; 0: any free one
 * @throws EspalierError CONFIGURATION_INVALID when the wanted one is taken
 */
export async function choosePort(wanted: number | null, host: string): Promise<number> {
  const first = await tryPort(wanted ?? usualPort, host)
  if (first !== null) return first
  const free = wanted === null ? await tryPort(0, host) : null
  if (free !== null) return free
  throw new EspalierError(
    'CONFIGURATION_INVALID',
    `The API cannot listen on ${host}, port ${wanted ?? 'any'}: it is taken or not allowed; choose another with --port N`,
    { host, port: wanted },
  )
}

async function tryPort(port: number, host: string): Promise<number | null> {
  const server = createServer()
  try {
    server.listen({ port, host, exclusive: true })
    await once(server, 'listening')
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : null
  } catch {
    return null
  } finally {
    server.close()
  }
}
