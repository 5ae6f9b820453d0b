import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { EspalierError } from '@espalier/contracts'

/** A folder of files named by the SHA-256 of their content. Safe with many writers: a name has one content. */
export interface ArtifactStore {
  readonly root: string
  /** Stores the bytes; gives their SHA-256 (lower-case hex). Storing them again changes nothing. */
  putBytes(bytes: Uint8Array): Promise<string>
  /** Stores a copy of a file, streamed. */
  putFile(path: string): Promise<string>
  /** Absolute path of an artefact, whether it is there or not. */
  path(sha256: string): string
  has(sha256: string): Promise<boolean>
  /** @throws RESOURCE_NOT_FOUND */
  getBytes(sha256: string): Promise<Uint8Array>
  /** Absolute path of a folder inside the store, made if absent: for exports, which keep their file names. */
  directory(relativePath: string): Promise<string>
}

const isMissing = (error: unknown) =>
  typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT'

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** A rename survives a power cut only when its folder is flushed too; Windows cannot open a folder for that. */
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function writeStream(source: AsyncIterable<Uint8Array>, target: FileHandle): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of source) {
    hash.update(chunk)
    await target.writeFile(chunk)
  }
  await target.sync()
  return hash.digest('hex')
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function* contentOf(path: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path, { highWaterMark: 1 << 20 })
}

/**
 * Opens the content-addressed store in a folder; `root` is made if absent.
 * Files lie at `<root>/<first two hex digits>/<sha256>`, unfinished ones in `<root>/incoming`.
 */
export function createArtifactStore(root: string): ArtifactStore {
  const base = resolve(root)
  const incoming = join(base, 'incoming')

  const pathOf = (sha256: string): string => {
    if (!/^[0-9a-f]{64}$/.test(sha256)) {
      throw new EspalierError('RESOURCE_NOT_FOUND', `"${sha256}" is not the SHA-256 of an artefact (64 hex digits)`)
    }
    return join(base, sha256.slice(0, 2), sha256)
  }

  const put = async (source: AsyncIterable<Uint8Array>): Promise<string> => {
    await mkdir(incoming, { recursive: true })
    const unfinished = join(incoming, randomUUID())
    try {
      const file = await open(unfinished, 'wx')
      const sha256 = await writeStream(source, file).finally(() => file.close())
      const target = pathOf(sha256)
      if (await exists(target)) return sha256
      await mkdir(dirname(target), { recursive: true })
      await rename(unfinished, target)
      await syncFolder(dirname(target))
      return sha256
    } finally {
      await rm(unfinished, { force: true })
    }
  }

  return {
    root: base,
    putBytes: (bytes) => put(once(bytes)),
    putFile: (path) => put(contentOf(path)),
    path: pathOf,
    has: (sha256) => exists(pathOf(sha256)),
    async getBytes(sha256) {
      try {
        return await readFile(pathOf(sha256))
      } catch (error) {
        if (!isMissing(error)) throw error
        throw new EspalierError('RESOURCE_NOT_FOUND', `artefact ${sha256} is not in the store ${base}`, { sha256 })
      }
    },
    async directory(relativePath) {
      const path = resolve(base, relativePath)
      const inside = relative(base, path)
      if (inside === '' || inside.split(sep)[0] === '..' || isAbsolute(inside)) {
        throw new EspalierError('REQUEST_INVALID', `"${relativePath}" is not a folder inside the artefact store`)
      }
      await mkdir(path, { recursive: true })
      return path
    },
  }
}
