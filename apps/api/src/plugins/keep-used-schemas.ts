interface DocumentWithSchemas {
  readonly paths?: unknown
  readonly components?: { readonly schemas?: Readonly<Record<string, unknown>> }
}

/**
 * The document without the component schemas that nothing refers to: the type provider writes each zod schema twice,
 * as input and as output, and most are used as one of them.
 */
export function keepUsedSchemas<T extends DocumentWithSchemas>(document: T): T {
  const schemas = document.components?.schemas ?? {}
  const used = new Set<string>()
  const waiting = referencesIn(document.paths)
  for (const name of waiting) {
    if (used.has(name)) continue
    used.add(name)
    waiting.push(...referencesIn(schemas[name]))
  }
  const kept = Object.entries(schemas).filter(([name]) => used.has(name))
  return { ...document, components: { ...document.components, schemas: Object.fromEntries(kept) } }
}

function referencesIn(value: unknown): string[] {
  const json = JSON.stringify(value) ?? ''
  return [...json.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name ?? '')
}
