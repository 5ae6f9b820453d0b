import { createServer } from 'node:net'

/** Listens for an instant on 127.0.0.1: gives the port (0 asks for any free one), or null when it is taken. */
function tryPort(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(null))
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = server.address()
      const chosen = address !== null && typeof address === 'object' ? address.port : null
      server.close(() => resolve(chosen))
    })
  })
}

export async function isPortFree(port: number): Promise<boolean> {
  return (await tryPort(port)) === port
}

export async function findFreePort(): Promise<number | null> {
  return tryPort(0)
}
