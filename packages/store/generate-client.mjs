/**
 * Generates the Prisma client when the schema has changed.
 *
 * The schema engine that Prisma would download is not needed for that; naming any executable keeps it from trying,
 * so that this works without a network.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = dirname(fileURLToPath(import.meta.url))
const generated = join(folder, 'src/generated')
const stampFile = join(generated, 'schema.sha256')

const prismaPackage = createRequire(import.meta.url).resolve('prisma/package.json')
const { version, bin } = JSON.parse(readFileSync(prismaPackage, 'utf8'))
const stamp = createHash('sha256')
  .update(version)
  .update(readFileSync(join(folder, '../../prisma/schema.prisma')))
  .digest('hex')

if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) {
  const { status } = spawnSync(process.execPath, [join(dirname(prismaPackage), bin.prisma), 'generate', '--no-hints'], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' },
  })
  if (status !== 0) process.exit(status ?? 1)
  mkdirSync(generated, { recursive: true })
  writeFileSync(stampFile, stamp)
}
