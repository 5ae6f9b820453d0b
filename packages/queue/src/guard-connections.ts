import { EventEmitter } from 'node:events'
import pg from 'pg'

/**
 * Keeps the loss of a Postgres connection from ending the process.
 *
 * An `error` event without a listener is thrown by Node where nobody can catch it. BullMQ takes its listeners off a
 * connection before it closes it, and has none on one that it has borrowed from a pool: when Postgres is killed at
 * that instant, the process would die. Queries under way are rejected all the same, so nothing goes unnoticed.
 */
export function guardConnections(): void {
  pg.Client.prototype.emit = emitUnlessUnheard
}

function emitUnlessUnheard(this: EventEmitter, event: string | symbol, ...values: unknown[]): boolean {
  if (event === 'error' && this.listenerCount('error') === 0) return false
  return EventEmitter.prototype.emit.call(this, event, ...values)
}
