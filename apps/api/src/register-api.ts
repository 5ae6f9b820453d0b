import type { Running } from '@espalier/runtime'
import type { Store } from '@espalier/store'
import type { FastifyBaseLogger } from 'fastify'

export interface ApiRegistration {
  readonly node: string
  /** Where it listens. */
  readonly url: string
  readonly logger: FastifyBaseLogger
}

/** Well within the time after which the store holds a silent process for dead. */
const heartbeatMs = 2_000

/** Keeps the API in the list of processes, so that it can be seen and found. */
export async function registerApi(workers: Store['workers'], { node, url, logger }: ApiRegistration): Promise<Running> {
  const register = () => workers.register({ role: 'api', node, pid: process.pid, details: { url } })
  let id = await register()
  let beating = false
  const beat = async () => {
    if (beating) return
    beating = true
    try {
      if (!(await workers.heartbeat(id))) id = await register()
    } catch (error) {
      logger.warn({ err: error }, 'the heartbeat was not recorded')
    } finally {
      beating = false
    }
  }
  const timer = setInterval(() => void beat(), heartbeatMs)
  return {
    async stop() {
      clearInterval(timer)
      await workers.remove(id).catch((error: unknown) => logger.warn({ err: error }, 'the API could not sign off'))
    },
  }
}
