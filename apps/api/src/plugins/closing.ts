import type { Api } from '../api.js'

/** What requests under way have when the service stops, milliseconds. */
const graceMs = 1_500

/**
 * Cuts the connections that are still there some time after the service was told to stop. Without this, a client
 * that has opened a connection and asks nothing (as browsers and fetch do ahead of need) would hold up the stop.
 */
export function addClosing(api: Api): void {
  let timer: NodeJS.Timeout | undefined
  api.addHook('preClose', async () => {
    timer = setTimeout(() => api.server.closeAllConnections(), graceMs)
  })
  api.addHook('onClose', async () => clearTimeout(timer))
}
