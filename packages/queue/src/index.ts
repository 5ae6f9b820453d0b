export { createQueue, type QueueOptions, type WakeTarget, type WorkQueue } from './create-queue.js'
export type { Listener } from './listen.js'
