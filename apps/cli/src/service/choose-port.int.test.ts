import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect, it } from '@jest/globals'
import { choosePort } from './choose-port.js'

describe('choosePort', () => {
  it('takes another than the usual one, but never another than the wanted one', async () => {
    const port = await choosePort(0, '127.0.0.1')
    const server = createServer().listen(port, '127.0.0.1')
    await once(server, 'listening')
    await expect(choosePort(port, '127.0.0.1')).rejects.toMatchObject({ code: 'CONFIGURATION_INVALID' })
    expect(await choosePort(null, '127.0.0.1')).not.toBe(port)
    server.close()
  })
})
