/** What `str.isspace` of Python holds for white space; JavaScript has U+FEFF more and U+001C to U+001F and U+0085 less. */
const space = '[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]'
const leading = new RegExp(`^${space}+`, 'u')
const trailing = new RegExp(`${space}+$`, 'u')

/** `str.strip` of Python. */
export function strip(text: string): string {
  return stripEnd(text.replace(leading, ''))
}

/** `str.rstrip` of Python. */
export function stripEnd(text: string): string {
  return text.replace(trailing, '')
}

/**
 * `str.capitalize` of Python: the first character in title case, all others small. Title case is taken for upper case,
 * which it is but for digraphs (ǆ), Greek vowels with iota subscript, and Georgian, which has none.
 */
export function capitalize(text: string): string {
  const [first = ''] = text
  const [capital = '', ...rest] = first.toUpperCase()
  return capital + rest.join('').toLowerCase() + text.toLowerCase().slice(first.toLowerCase().length)
}

/** `len` of Python: characters, not UTF-16 units. */
export function countCharacters(text: string): number {
  let count = 0
  for (const _ of text) count += 1
  return count
}
