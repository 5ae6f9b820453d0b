import { lstat, realpath, stat } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { EspalierError } from '@espalier/contracts'

/**
 * Path of a file of a model folder, or null when the folder has none of that name. Only a regular file that lies in
 * the folder is one; links may lead within the folder, and from a snapshot in the cache of the Hugging Face hub
 * (`models--org--name/snapshots/REVISION`) to the blobs beside the snapshots, where the hub's client keeps contents.
 *
 * @throws EspalierError MODEL_UNREADABLE when the name is something else: a folder, a pipe, a link out of the folder
 */
export async function findModelFile(directory: string, name: string): Promise<string | null> {
  const path = join(directory, name)
  const refuse = (found: string): EspalierError => {
    const expected = 'a regular file in the folder of the model'
    const message = `${path} cannot be read: expected ${expected}, found ${found}`
    return new EspalierError('MODEL_UNREADABLE', message, { file: path, expected, found })
  }
  const link = await lstat(path).catch(() => null)
  if (link === null) return null
  try {
    const [root, target] = [await realpath(directory), await realpath(path)]
    if (!allowedRoots(root).some((allowed) => target.startsWith(allowed + sep))) {
      throw refuse(`a link out of it; copy the file, or open the folder that it lies in`)
    }
    if (!(await stat(target)).isFile()) throw refuse('something else')
  } catch (cause) {
    throw cause instanceof EspalierError ? cause : refuse(cause instanceof Error ? cause.message : String(cause))
  }
  return path
}

function allowedRoots(root: string): string[] {
  const snapshots = dirname(root)
  return basename(snapshots) === 'snapshots' ? [root, join(dirname(snapshots), 'blobs')] : [root]
}
