import { EspalierError } from '@espalier/contracts'
import type { Api } from '../api.js'

/** Bodies are JSON and nothing else; what cannot be parsed says where. An empty body is no body. */
export function addJsonBody(api: Api): void {
  api.removeAllContentTypeParsers()
  const parse = api.getDefaultJsonParser('error', 'error')
  api.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (text.trim() === '') {
      done(null, undefined)
      return
    }
    parse(request, text, (error, value) => {
      if (error) done(malformed(text, error))
      else done(null, value)
    })
  })
}

function malformed(text: string, error: Error): EspalierError {
  return new EspalierError('REQUEST_MALFORMED', `The request body is not JSON: ${reasonOf(text) ?? error.message}`)
}

/** What Node says about the text, which names the place; undefined when it is JSON (and refused for its keys). */
function reasonOf(text: string): string | undefined {
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : undefined
  }
}
