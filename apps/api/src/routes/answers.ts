import { problemSchema } from '@espalier/contracts'
import type { z } from 'zod'
import { problemMediaType } from '../problems/problem-of.js'

const problem = (description: string) => ({ description, content: { [problemMediaType]: { schema: problemSchema } } })

/** What every route may answer when it refuses or fails. */
export const problemAnswers = {
  '4xx': problem('The request is refused; `code` says why'),
  '5xx': problem('The service failed or cannot answer now'),
}

/** A JSON answer and the description it has in the OpenAPI document. */
export function jsonAnswer(description: string, schema: z.ZodType) {
  return { description, content: { 'application/json': { schema } } }
}
