/**
 * Sets flags at the top level of a config.json, leaving the rest of the text alone: reading and writing it as JSON
 * would turn 1.0 into 1, which some loaders check.
 */
export function setConfigFlags(text: string, flags: Readonly<Record<string, true>>): string {
  const edited = Object.keys(flags).reduce(setFlag, text)
  const wanted = { ...JSON.parse(text), ...flags }
  // The edit by text is right unless a nested object has a field of the same name.
  const isRight = Object.keys(wanted).every((key) => sameJson(JSON.parse(edited)[key], wanted[key]))
  return isRight ? edited : `${JSON.stringify(wanted, null, 2)}\n`
}

function setFlag(text: string, name: string): string {
  const present = new RegExp(`"${name}"\\s*:\\s*(true|false|null)`)
  if (present.test(text)) return text.replace(present, `"${name}": true`)
  return text.replace('{', `{\n  "${name}": true,`)
}

function sameJson(left: unknown, right: unknown): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}
