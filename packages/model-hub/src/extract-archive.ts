import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describeDiskFailure } from './check-disk-space.js'
import { chooseModelFiles } from './choose-model-files.js'
import { extractTar } from './extract-tar.js'
import { extractZip } from './extract-zip.js'
import { Extraction, type ExtractionLimits } from './extraction.js'

/**
 * Unpacks the model of an archive to `target`, which appears whole or not at all. The format is told by the first
 * bytes; the model's folder is the one of the shallowest `config.json`.
 *
 * @throws EspalierError MODEL_ARCHIVE_INVALID, MODEL_UNREADABLE, MODEL_WEIGHTS_UNSAFE, MODEL_DISK_FULL
 */
export async function extractArchive(
  file: string,
  target: string,
  archive: string,
  limits: ExtractionLimits,
): Promise<void> {
  const temporary = join(dirname(target), `.extracting-${randomUUID()}`)
  await mkdir(temporary, { recursive: true })
  try {
    const extraction = new Extraction(temporary, archive, limits)
    await ((await isZip(file)) ? extractZip : extractTar)(file, extraction)
    const root = findModelFolder(extraction.written)
    const inRoot = (path: string) => folderOf(path) === root
    chooseModelFiles(
      extraction.seen.filter(inRoot).map((path) => path.slice(root === '' ? 0 : root.length + 1)),
      archive,
    )
    await keepFilesOnly(join(temporary, ...root.split('/')))
    await rename(join(temporary, ...root.split('/')), target).catch(ignoreExisting)
  } catch (error) {
    throw describeDiskFailure(error, temporary)
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
}

/** What lies deeper belongs to other models, or other formats of this one. */
async function keepFilesOnly(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await rm(join(folder, entry.name), { recursive: true })
  }
}

async function isZip(file: string): Promise<boolean> {
  const handle = await open(file)
  try {
    const { buffer } = await handle.read(Buffer.alloc(4), 0, 4, 0)
    return buffer.toString('latin1') === 'PK\u0003\u0004'
  } finally {
    await handle.close()
  }
}

/** '' when the model lies at the top. */
function findModelFolder(paths: readonly string[]): string {
  const folders = paths.filter((path) => path.split('/').at(-1) === 'config.json').map(folderOf)
  const depth = (folder: string) => (folder === '' ? 0 : folder.split('/').length)
  return folders.sort((a, b) => depth(a) - depth(b) || (a < b ? -1 : 1))[0] ?? ''
}

function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : ''
}

/** Another process has unpacked the same archive. */
function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
}
