import { defineConfig } from 'prisma/config'

/** Only `prisma generate` and `migrate` read this; the running service gets its database address as an argument. */
export default defineConfig({
  schema: '../../prisma/schema.prisma',
  migrations: { path: '../../prisma/migrations' },
})
