import { lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from '@jest/globals'
import { restoreLibraryLinks } from './postgres-binaries.js'

it('makes the library links that a skipped install script did not make, and leaves those there are', () => {
  const directory = mkdtempSync(join(tmpdir(), 'espalier-links-'))
  try {
    mkdirSync(join(directory, 'native', 'lib'), { recursive: true })
    writeFileSync(join(directory, 'native', 'lib', 'libpq.so.5.18'), 'library')
    writeFileSync(
      join(directory, 'native', 'pg-symlinks.json'),
      JSON.stringify([
        { source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so' },
        { source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' },
      ]),
    )
    restoreLibraryLinks(directory)
    restoreLibraryLinks(directory)
    for (const name of ['libpq.so', 'libpq.so.5']) {
      const path = join(directory, 'native', 'lib', name)
      expect(lstatSync(path).isSymbolicLink()).toBe(true)
      expect(readFileSync(path, 'utf8')).toBe('library')
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
})
