/** What stands between two rows, by the name that a source uses for it. */
export const joins = { 'blank-line': '\n\n', newline: '\n', blank: ' ', none: '' } as const
export type JoinName = keyof typeof joins

export interface JoinRule {
  readonly name: 'default' | 'c4'
  readonly join: JoinName
  /** Rows from the start of the split; Infinity: all. */
  readonly rows: number
}

/**
 * WikiText-2 raw as the literature measures on it: `"\n\n".join(testdata["text"])`, empty rows included, in
 * `get_wikitext2` of SparseGPT (IST-DASLab/sparsegpt, datautils.py), and the same in Wanda (locuslab/wanda, lib/data.py)
 * and GPTQ. The rule for everything that has no other. (For calibration the same loaders join the training split
 * by a blank: `join=blank`.)
 */
const blankLines: JoinRule = { name: 'default', join: 'blank-line', rows: Number.POSITIVE_INFINITY }

/**
 * C4: `" ".join(valdata[:1100]["text"])` of the first shard of the validation split, in `get_c4` of the same files.
 * They then cut the token ids to 256 windows, which is the number of windows here.
 */
const c4: JoinRule = { name: 'c4', join: 'blank', rows: 1100 }

/** `c4-validation.00000-of-00008.json.gz`, and folders of the data set as the hub's client names them. */
const c4Shard = /^c4-[a-z]+\./
const c4Folders = new Set(['c4', 'allenai--c4', 'datasets--allenai--c4'])

/** How the rows of a data set are joined, by its path. */
export function joinRuleOf(path: string): JoinRule {
  const segments = path.split(/[\\/]/)
  const isC4 = segments.some((segment) => c4Shard.test(segment) || c4Folders.has(segment))
  return isC4 ? c4 : blankLines
}

export function isJoinName(name: string): name is JoinName {
  return Object.hasOwn(joins, name)
}
