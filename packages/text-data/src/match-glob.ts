/** Whether a path holds signs of a pattern: `*`, `?`, `[`. */
export function isGlob(path: string): boolean {
  return /[*?[]/.test(path)
}

/**
 * A pattern over whole paths with `/`: `*` and `?` stay within one segment, `[…]` is a set of characters (`[!…]` its
 * complement), `**` as a whole segment is any number of segments.
 */
export function compileGlob(pattern: string): RegExp {
  const segments = pattern.split('/')
  const parts = segments.map((segment, index) => {
    const isLast = index === segments.length - 1
    if (segment === '**') return isLast ? '.*' : '(?:[^/]+/)*'
    return compileSegment(segment) + (isLast ? '' : '/')
  })
  return new RegExp(`^${parts.join('')}$`, 'u')
}

function compileSegment(segment: string): string {
  return segment.replace(/\[(!?)([^\]]+)\]|[*?]|[\\^$.|+()[\]{}/]/gu, (sign, not: string | undefined, set: string) => {
    if (set !== undefined) return `[${not === '!' ? '^/' : ''}${set.replace(/[\\\]^[&~|()]/gu, '\\$&')}]`
    if (sign === '*') return '[^/]*'
    return sign === '?' ? '[^/]' : `\\${sign}`
  })
}
