import { stat } from 'node:fs/promises'
import { isJoinName, type JoinName } from './join-rules.js'
import { isGlob } from './match-glob.js'
import { invalidText } from './text-error.js'

/**
 * Where a text comes from, as people write it: `PATH`, `PATH::SPLIT` and, behind either, `#FIELD` and what differs
 * from the rule of the data set, `#FIELD&rows=1100&join=blank`. A path is a file, a folder or a pattern.
 */
export interface TextSource {
  readonly path: string
  readonly split: string | null
  /** null: the default. */
  readonly field: string | null
  readonly join: JoinName | null
  readonly rows: number | null
}

/**
 * Takes a source apart. What exists under its whole name is that file: names may hold `#` and `::`.
 * @throws EspalierError TEXT_INVALID naming what is not understood
 */
export async function parseTextSource(source: string): Promise<TextSource> {
  const nothing = { split: null, field: null, join: null, rows: null }
  if (await exists(source)) return { path: source, ...nothing }
  const [beforeHash, fragment] = cutAtLast(source, '#')
  const given = fragment === null ? nothing : { ...nothing, ...parseFragment(fragment, source) }
  if (await exists(beforeHash)) return { ...given, path: beforeHash }
  const [path, split] = cutAtLast(beforeHash, '::')
  if (split !== null && !/^[\w.-]+$/.test(split)) {
    throw invalidText(source, `"${split}" is no name of a split; letters, digits, "_", "-" and "." make one`)
  }
  if (split !== null && isGlob(path) && !(await exists(path))) {
    throw invalidText(source, `a pattern has no splits; name those files that belong to "${split}"`)
  }
  return { ...given, path, split }
}

function cutAtLast(text: string, sign: string): [string, string | null] {
  const at = text.lastIndexOf(sign)
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + sign.length)]
}

function parseFragment(fragment: string, source: string): Partial<TextSource> {
  const [first = '', ...rest] = fragment.split('&')
  const hasField = !/^(rows|join)=/.test(first)
  if (hasField && first === '') throw invalidText(source, 'a field, rows=NUMBER or join=NAME has to follow "#"')
  const settings = hasField ? rest : [first, ...rest]
  return Object.assign(hasField ? { field: first } : {}, ...settings.map((setting) => parseSetting(setting, source)))
}

function parseSetting(setting: string, source: string): Partial<TextSource> {
  const [name, value] = cutAtLast(setting, '=')
  if (name === 'rows' && /^[1-9]\d{0,14}$/.test(value ?? '')) return { rows: Number(value) }
  if (name === 'join' && value !== null && isJoinName(value)) return { join: value }
  throw invalidText(
    source,
    `"${setting}" is not understood; rows=NUMBER and join=blank-line, newline, blank or none may follow the field`,
  )
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
