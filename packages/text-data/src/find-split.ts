/**
 * Words that name the splits of a data set in the names of its folders and files, as the hub's `datasets` library
 * has them (datasets/data_files.py, `SPLIT_KEYWORDS`).
 */
const keywords: Readonly<Record<string, readonly string[]>> = {
  train: ['train', 'training'],
  validation: ['validation', 'valid', 'val', 'dev'],
  test: ['test', 'testing', 'eval', 'evaluation'],
}

/** What may stand beside such a word within a name (`NON_WORDS_CHARS` there). */
const separators = /[-._ 0-9]+/

/** The split that a word stands for: `dev` is `validation`; a name of no known split is itself. */
function canonicalSplit(name: string): string {
  const found = Object.entries(keywords).find(([, words]) => words.includes(name))
  return found?.[0] ?? name
}

/**
 * The split that a shard is of, by its path within the data set; null when no name says so. Folders come before the file.
 * `data/train-00000-of-00001.parquet`, `test/a.jsonl`, `en/c4-validation.00000-of-00008.json.gz`.
 *
 * @param path relative, with `/`
 */
export function findSplit(path: string): string | null {
  for (const segment of path.split('/')) {
    const split = segment.toLowerCase().split(separators).map(canonicalSplit).find(isKnown)
    if (split !== undefined) return split
  }
  return null
}

/** Whether a shard is of a split: by its known words, or because the split's own name stands in its path as a word. */
export function isOfSplit(path: string, split: string): boolean {
  const wanted = canonicalSplit(split)
  if (isKnown(wanted)) return findSplit(path) === wanted
  const name = split.replace(/[\\^$.|?*+()[\]{}/]/g, '\\$&')
  return new RegExp(`(^|[-._ 0-9/])${name}([-._ 0-9/]|$)`).test(path)
}

function isKnown(split: string): boolean {
  return Object.hasOwn(keywords, split)
}
