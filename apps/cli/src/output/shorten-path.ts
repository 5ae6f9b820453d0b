import { relative } from 'node:path'

/** A path as people read it: relative to the working folder when it lies inside. */
export function shortenPath(path: string): string {
  const inside = relative(process.cwd(), path)
  return inside === '' || inside.startsWith('..') ? path : inside
}
