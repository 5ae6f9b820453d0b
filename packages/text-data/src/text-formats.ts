/** What a file holds: one text, or rows in one of two formats. */
export type TextFormat = 'text' | 'jsonl' | 'parquet'

const formatOfExtension: Readonly<Record<string, TextFormat>> = {
  '.parquet': 'parquet',
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.json': 'jsonl',
  '.txt': 'text',
}

/** Files that lie beside the shards of a data set and hold none of its rows. */
const descriptions = new Set(['dataset_info.json', 'dataset_infos.json', 'dataset_dict.json', 'state.json'])

/** What a file is by its name; `.gz` may follow any but Parquet. Every other file is one text. */
export function formatOf(name: string): TextFormat {
  return findFormat(name) ?? 'text'
}

/** The format of a shard of a data set; undefined for files that are none. */
export function findShardFormat(name: string): TextFormat | undefined {
  return descriptions.has(name) || name.startsWith('.') ? undefined : findFormat(name)
}

export function isGzip(name: string): boolean {
  return name.toLowerCase().endsWith('.gz')
}

function findFormat(name: string): TextFormat | undefined {
  const plain = name.toLowerCase().replace(/\.gz$/, '')
  const format = formatOfExtension[/\.[^.]*$/.exec(plain)?.[0] ?? '']
  return format === 'parquet' && isGzip(name) ? undefined : format
}
