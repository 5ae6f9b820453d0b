import { randomUUID } from 'node:crypto'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { EspalierError } from '@espalier/contracts'
import { problemMediaType, problemOf } from './problem-of.js'

interface ClientError extends Error {
  readonly code?: string
}

/** Answers what is not even an HTTP request: the parser has given up, so the answer is written by hand. */
export function answerClientError(error: ClientError, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const refused = refusalOf(error)
  const body = JSON.stringify(problemOf(refused, { url: '', id: randomUUID() }))
  const lines = [
    `HTTP/1.1 ${refused.status} ${STATUS_CODES[refused.status]}`,
    `content-type: ${problemMediaType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`)
}

function refusalOf(error: ClientError): EspalierError {
  switch (error.code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new EspalierError('REQUEST_TIMEOUT', 'The headers of the request did not arrive in time')
    case 'HPE_HEADER_OVERFLOW':
      return new EspalierError('REQUEST_TOO_LARGE', 'The headers of the request are larger than 16 KiB')
    default:
      return new EspalierError('REQUEST_MALFORMED', `This is not an HTTP request: ${error.message}`)
  }
}
