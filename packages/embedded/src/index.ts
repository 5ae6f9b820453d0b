export type { EmbeddedPostgres } from './server-handle.js'
export { type EmbeddedPostgresOptions, startEmbeddedPostgres } from './start-embedded-postgres.js'
