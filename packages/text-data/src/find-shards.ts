import type { Dirent } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { findSplit, isOfSplit } from './find-split.js'
import { compileGlob, isGlob } from './match-glob.js'
import { invalidText, unreadableText } from './text-error.js'
import { findShardFormat, formatOf, type TextFormat } from './text-formats.js'
import { maxFolderDepth, maxShards } from './text-limits.js'

export interface Shards {
  /** Absolute or as given, in name order (of their UTF-8 bytes). */
  readonly files: readonly string[]
  readonly format: TextFormat
}

/**
 * The files that a path stands for: one file, the shards of a folder, or those that match a pattern.
 *
 * @param split takes the shards of one split from a folder, by their names
 * @throws EspalierError TEXT_NOT_FOUND when nothing is there; TEXT_INVALID when it is not clear which files are meant
 */
export async function findShards(path: string, split: string | null): Promise<Shards> {
  const found = await stat(path).catch((error: unknown) => {
    if (isGlob(path)) return null
    throw unreadableText(path, error)
  })
  if (found === null) return chooseShards(path, await listMatches(path), null)
  if (found.isDirectory()) return chooseShards(path, await listFolder(path), split)
  if (!found.isFile()) throw unreadableText(path, 'it is neither a file nor a folder')
  if (split !== null) throw invalidText(path, `"::${split}" needs a folder, and this is a file`)
  return { files: [path], format: formatOf(path) }
}

function chooseShards(root: string, paths: readonly string[], split: string | null): Shards {
  const chosen = split === null ? paths : paths.filter((path) => isOfSplit(path, split))
  if (chosen.length === 0) throw noShards(root, paths, split)
  if (!isGlob(root)) refuseMixture(root, chosen)
  const format = only(root, 'formats', chosen.map(formatOf))
  return { files: chosen.map((path) => join(isGlob(root) ? '' : root, path)), format }
}

function noShards(root: string, paths: readonly string[], split: string | null): Error {
  const splits = [...new Set(paths.map((path) => findSplit(path) ?? 'no named split'))]
  const reason =
    split === null || paths.length === 0
      ? 'there is no .parquet, .jsonl, .ndjson, .json or .txt file'
      : `there is no split "${split}"; the names of its files say: ${splits.join(', ')}`
  return unreadableText(root, reason)
}

/** Joining splits, or the configurations of a data set, would give a number that compares with nothing. */
function refuseMixture(root: string, paths: readonly string[]): void {
  only(
    root,
    'splits',
    paths.map((path) => findSplit(path) ?? 'no named split'),
    'name one: FOLDER::SPLIT',
  )
  only(root, 'folders', paths.map(dirname), 'name one of them')
}

function only<Value extends string>(
  root: string,
  what: string,
  values: readonly Value[],
  advice = 'name a pattern',
): Value {
  const [first, ...others] = [...new Set(values)]
  if (first !== undefined && others.length === 0) return first
  throw invalidText(root, `its files are of several ${what} (${[first, ...others].join(', ')}); ${advice}`)
}

/** Relative paths of the shards below a folder, with `/`, in name order. Links to folders are not followed. */
async function listFolder(root: string): Promise<string[]> {
  const paths: string[] = []
  const visit = async (folder: string, depth: number): Promise<void> => {
    for (const entry of await readFolder(join(root, folder))) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (entry.name.startsWith('.')) continue
      if (entry.isDirectory() && depth < maxFolderDepth) await visit(path, depth + 1)
      if (entry.isDirectory() || findShardFormat(entry.name) === undefined) continue
      paths.push(path)
      refuseTooMany(root, paths.length)
    }
  }
  await visit('', 0)
  return paths.sort(compareNames)
}

/** Paths that match a pattern, in name order. Hidden files and folders are left out. */
async function listMatches(pattern: string): Promise<string[]> {
  const normal = pattern.split(sep).join('/')
  const segments = normal.split('/')
  const firstSign = segments.findIndex(isGlob)
  const start = segments.slice(0, firstSign).join('/')
  const expression = compileGlob(normal)
  const depth = normal.includes('**') ? maxFolderDepth : segments.length - 1 - firstSign
  const paths: string[] = []
  const visit = async (folder: string, left: number): Promise<void> => {
    for (const entry of await readFolder(folder === '' && normal.startsWith('/') ? '/' : folder || '.')) {
      if (entry.name.startsWith('.')) continue
      const path = folder === '' && !normal.startsWith('/') ? entry.name : `${folder}/${entry.name}`
      if (entry.isDirectory() && left > 0) await visit(path, left - 1)
      if (entry.isDirectory() || !expression.test(path)) continue
      paths.push(path)
      refuseTooMany(pattern, paths.length)
    }
  }
  await visit(start, depth)
  return paths.sort(compareNames)
}

async function readFolder(folder: string): Promise<Dirent[]> {
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw unreadableText(folder, error)
  })
}

function refuseTooMany(root: string, files: number): void {
  if (files > maxShards) throw invalidText(root, `stands for more than ${maxShards} files, which is the most allowed`)
}

function compareNames(left: string, right: string): number {
  return Buffer.compare(Buffer.from(left), Buffer.from(right))
}
