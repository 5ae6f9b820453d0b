import { randomUUID } from 'node:crypto'
import { copyFile, link, mkdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { errorCodeOf } from './error-code.js'
import type { HubSettings } from './model-hub-options.js'
import type { HubRepository } from './parse-model-source.js'

/** Codes of file systems and users that cannot make a link. */
const linkRefusals: ReadonlySet<string> = new Set([
  'EPERM',
  'EACCES',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EINVAL',
  'EMLINK',
  'EXDEV',
])

/**
 * One repository in the cache that all tools of the hub share: `blobs/<checksum>` holds contents,
 * `snapshots/<commit>/<path>` links to them, `refs/<revision>` says the commit of a branch or tag.
 * (Layout: huggingface_hub, guide "Understand caching".)
 */
export class RepositoryCache {
  readonly root: string
  readonly #symlinks: boolean

  constructor({ type, id }: HubRepository, settings: Pick<HubSettings, 'cache' | 'symlinks'>) {
    this.root = join(settings.cache, `${type}s--${id.replaceAll('/', '--')}`)
    this.#symlinks = settings.symlinks
  }

  get blobs(): string {
    return join(this.root, 'blobs')
  }

  snapshot(commit: string): string {
    return join(this.root, 'snapshots', commit)
  }

  file(commit: string, path: string): string {
    return join(this.snapshot(commit), ...path.split('/'))
  }

  blob(hex: string): string {
    return join(this.blobs, hex)
  }

  /** The commit that a revision had when it was last downloaded. */
  async findCommit(revision: string): Promise<string | null> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision
    const text = await readFile(join(this.root, 'refs', ...revision.split('/')), 'utf8').catch(() => '')
    return /^[0-9a-f]{40}$/.test(text.trim()) ? text.trim() : null
  }

  async rememberCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit) return
    const path = join(this.root, 'refs', ...revision.split('/'))
    await mkdir(dirname(path), { recursive: true })
    const temporary = `${path}.${randomUUID()}.tmp`
    await writeFile(temporary, commit)
    await rename(temporary, path)
  }

  /** Size of a file of a snapshot, or null. */
  async findBytes(commit: string, path: string): Promise<number | null> {
    return findFileBytes(this.file(commit, path))
  }

  /** Makes a blob appear in a snapshot at several paths: by links, symbolic or hard, else by copying and moving it. */
  async place(hex: string, commit: string, paths: readonly string[]): Promise<void> {
    for (const [index, path] of paths.entries()) {
      const target = this.file(commit, path)
      if ((await findFileBytes(target)) !== null) continue
      await mkdir(dirname(target), { recursive: true })
      // What lies there is a link to a blob that somebody has deleted.
      await rm(target, { force: true })
      await this.#placeOne(this.blob(hex), target, index === paths.length - 1)
    }
  }

  async #placeOne(blob: string, target: string, isLast: boolean): Promise<void> {
    if (this.#symlinks && (await tryLink(() => symlink(relative(dirname(target), blob), target)))) return
    if (await tryLink(() => link(blob, target))) return
    await (isLast ? rename(blob, target) : copyFile(blob, target))
  }
}

/** Whether the link was made; another process may have made it in the meantime. */
async function tryLink(make: () => Promise<void>): Promise<boolean> {
  try {
    await make()
    return true
  } catch (error) {
    const code = errorCodeOf(error) ?? ''
    if (code === 'EEXIST') return true
    if (linkRefusals.has(code)) return false
    throw error
  }
}

export async function findFileBytes(path: string): Promise<number | null> {
  const found = await stat(path).catch(() => null)
  return found?.isFile() ? found.size : null
}
