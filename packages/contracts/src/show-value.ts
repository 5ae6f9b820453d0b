/** Longest text that a message or the details of an error quote from a file. */
const mostCharacters = 200
const mostEntries = 8
const mostDepth = 3

/**
 * A value found in somebody's file as a short printable text. The value may be anything: megabytes long, nested a
 * million deep, full of control characters (which Postgres refuses in JSON).
 */
export function showValue(value: unknown): string {
  const text = typeof value === 'string' ? printable(value) : show(value, 0)
  return text.length <= mostCharacters ? text : `${text.slice(0, mostCharacters)}... (cut)`
}

function show(value: unknown, depth: number): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return `"${printable(value)}"`
  if (typeof value !== 'object' || value === null) return String(value)
  const entries = Array.isArray(value)
    ? value.slice(0, mostEntries).map((item: unknown) => () => show(item, depth + 1))
    : Object.entries(value)
        .slice(0, mostEntries)
        .map(
          ([name, item]) =>
            () =>
              `"${printable(name)}":${show(item, depth + 1)}`,
        )
  const size = Array.isArray(value) ? value.length : Object.keys(value).length
  const shown = depth === mostDepth && size > 0 ? ['...'] : entries.map((print) => print())
  const list = [...shown, ...(size > mostEntries && depth < mostDepth ? ['...'] : [])].join(',')
  return Array.isArray(value) ? `[${list}]` : `{${list}}`
}

/** Control characters and lone halves of surrogate pairs as escapes. */
function printable(text: string): string {
  return text
    .slice(0, 2 * mostCharacters)
    .replace(/[\p{Cc}\p{Cs}]/gu, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
