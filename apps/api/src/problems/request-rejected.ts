import { EspalierError, type RequestError } from '@espalier/contracts'

/** A request that its schema lets pass and that is wrong all the same; says where, like the schema would. */
export class RequestRejected extends EspalierError {
  readonly errors: readonly RequestError[]

  constructor(errors: readonly RequestError[]) {
    super('REQUEST_INVALID', errors.map(({ path, message }) => `${path || 'request'}: ${message}`).join('; '))
    this.name = 'RequestRejected'
    this.errors = errors
  }
}
