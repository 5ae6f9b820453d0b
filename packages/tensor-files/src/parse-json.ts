/** Deeper than anything a model folder holds; code that walks a parsed value may then recurse. */
const mostDepth = 64

export interface JsonRules {
  /** Refuse an object that gives a name twice; `JSON.parse` would silently take the last. */
  readonly uniqueNames?: boolean
}

/**
 * Parses JSON that somebody else wrote.
 *
 * @throws SyntaxError when it is no JSON, nests deeper than 64 levels, or breaks the rules
 */
export function parseJson(text: string, { uniqueNames = false }: JsonRules = {}): unknown {
  checkNesting(text, uniqueNames)
  return JSON.parse(text)
}

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const openers: ReadonlySet<number> = new Set([0x5b, 0x7b])
const closers: ReadonlySet<number> = new Set([0x5d, 0x7d])
const openBrace = 0x7b

/** One pass over the text, which need not be JSON: strings are skipped, brackets counted, names collected. */
function checkNesting(text: string, uniqueNames: boolean): void {
  /** Names so far of each open object; null: an array, or names are not collected. */
  const open: (Set<string> | null)[] = []
  let nameExpected = false
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at)
    if (character === quote) {
      const end = endOfString(text, at)
      if (nameExpected) addName(open.at(-1) ?? null, text.slice(at, end + 1))
      nameExpected = false
      at = end
    } else if (openers.has(character)) {
      open.push(uniqueNames && character === openBrace ? new Set() : null)
      if (open.length > mostDepth) throw new SyntaxError(`it nests deeper than ${mostDepth} levels`)
      nameExpected = open.at(-1) !== null
    } else if (closers.has(character)) {
      open.pop()
      nameExpected = false
    } else if (character === comma) {
      nameExpected = (open.at(-1) ?? null) !== null
    }
  }
}

/** Index of the quote that ends the string which starts at `start`; the text's last index when none does. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1)
  return end === -1 ? text.length - 1 : end
}

/** Whether an odd number of backslashes stands before `at`. */
function isEscaped(text: string, at: number): boolean {
  let first = at
  while (text.charCodeAt(first - 1) === backslash) first--
  return (at - first) % 2 === 1
}

function addName(names: Set<string> | null, literal: string): void {
  if (names === null) return
  const name = literal.includes('\\') ? String(JSON.parse(literal)) : literal.slice(1, -1)
  if (names.has(name)) throw new SyntaxError(`it gives the name "${name}" twice`)
  names.add(name)
}
