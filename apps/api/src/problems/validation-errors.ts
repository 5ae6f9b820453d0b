import type { RequestError } from '@espalier/contracts'
import type { FastifyRequest } from 'fastify'
import type { ZodFastifySchemaValidationError } from 'fastify-type-provider-zod'

type Part = RequestError['in']

const partOfContext: Readonly<Record<string, Part>> = {
  body: 'body',
  querystring: 'query',
  params: 'path',
  headers: 'headers',
}

/** Longer values are left out of an answer. */
const longestShownValue = 200

/**
 * What is wrong with a request, one entry a place, from the issues of its schema.
 *
 * @param context Fastify's name of the part: body, querystring, params or headers
 */
export function validationErrorsOf(
  issues: readonly ZodFastifySchemaValidationError[],
  context: string | undefined,
  request: Pick<FastifyRequest, 'body' | 'query' | 'params' | 'headers'>,
): RequestError[] {
  const part = partOfContext[context ?? 'body'] ?? 'body'
  const whole = { body: request.body, query: request.query, path: request.params, headers: request.headers }[part]
  return issues.flatMap((issue) => errorsOfIssue(issue, part, whole))
}

function errorsOfIssue(issue: ZodFastifySchemaValidationError, part: Part, whole: unknown): RequestError[] {
  const path = issue.instancePath === '/' ? '' : issue.instancePath
  const unknownKeys = issue.params.keys
  if (issue.keyword === 'unrecognized_keys' && Array.isArray(unknownKeys)) {
    return unknownKeys.map((key) => ({ in: part, path: `${path}/${key}`, message: 'is not a known field' }))
  }
  const value = valueAt(whole, path)
  return [{ in: part, path, message: issue.message ?? 'is not valid', ...(isShown(value) ? { value } : {}) }]
}

function valueAt(whole: unknown, path: string): unknown {
  let value = whole
  for (const key of path.split('/').slice(1)) {
    if (typeof value !== 'object' || value === null) return undefined
    value = Object.entries(value).find(([name]) => name === key)?.[1]
  }
  return value
}

function isShown(value: unknown): boolean {
  if (value === undefined) return false
  const json = JSON.stringify(value)
  return json !== undefined && json.length <= longestShownValue
}
