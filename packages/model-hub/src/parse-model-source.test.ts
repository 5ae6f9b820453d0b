import { join, relative, win32 } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { isRemoteSource, isSafeRelativePath, parseModelSource, withoutSecrets } from './parse-model-source.js'

const repository = (id: string, revision: string) => ({
  kind: 'repository',
  repository: { type: 'model', id, revision },
})

describe('parseModelSource', () => {
  it.each([
    ['hf://acme/small', repository('acme/small', 'main')],
    ['hf://gpt2', repository('gpt2', 'main')],
    ['hf://acme/small-1.5_B@v1.0', repository('acme/small-1.5_B', 'v1.0')],
    ['hf://acme/small@refs/pr/3', repository('acme/small', 'refs/pr/3')],
    ['hf://acme/small@refs%2Fpr%2F3', repository('acme/small', 'refs/pr/3')],
    ['./models/demo', { kind: 'folder', path: './models/demo' }],
    ['C:\\models\\demo', { kind: 'folder', path: 'C:\\models\\demo' }],
    ['https://x.test/m.zip?a=1', { kind: 'archive', url: 'https://x.test/m.zip?a=1', sha256: null }],
    [`http://x.test/m#sha256=${'AB'.repeat(32)}`, { kind: 'archive', url: 'http://x.test/m', sha256: 'ab'.repeat(32) }],
  ])('reads %s', (source, expected) => {
    expect(parseModelSource(source)).toEqual(expected)
  })

  it.each([
    ['hf://datasets/acme/texts/a/b.txt', 'main', 'a/b.txt'],
    ['hf://datasets/acme/texts@v2/a/b.txt', 'v2', 'a/b.txt'],
    ['hf://datasets/acme/texts@refs/convert/parquet/a/b.parquet', 'refs/convert/parquet', 'a/b.parquet'],
    ['hf://datasets/acme/texts@refs%2Fpr%2F1/b.txt', 'refs/pr/1', 'b.txt'],
  ])('reads %s', (source, revision, path) => {
    const expected = { kind: 'dataset-file', repository: { type: 'dataset', id: 'acme/texts', revision }, path }
    expect(parseModelSource(source)).toEqual(expected)
  })

  it.each([
    ...[
      'hf://',
      'hf://a/b/c',
      'hf://../x',
      'hf://a--b/c',
      'hf://.a/b',
      'hf://a/b@',
      'hf://a/b@../x',
      'hf://a/b@x/../y',
    ],
    ...['hf://a/b@%2e%2e', 'hf://a/b@/x', 'hf://a/b@%', 'hf://a/b@-x', 'hf://datasets/a', 'hf://datasets/a/b'],
    ...['hf://datasets/a/b/../c', 'hf://datasets/a/b@v1', 'ftp://x/y', 's3://x/y', 'https://', 'https://x/y#sha256=12'],
  ])('refuses %s, and says what is expected', (source) => {
    expect(() => parseModelSource(source)).toThrow(/is not a source of a model: expected /)
    expect(isRemoteSource(source)).toBe(true)
  })

  it('shows no password or signature', () => {
    expect(withoutSecrets('https://me:pw@x.test/m.zip?sig=1#sha256=2')).toBe('https://x.test/m.zip')
  })
})

describe('isSafeRelativePath', () => {
  it('lets no path out of its folder, by the rules of any system', () => {
    const part = fc.oneof(fc.constantFrom('..', '.', '', 'a', 'C:', '\\', '~', '\u0000', '..\\..', ' '), fc.string())
    fc.assert(
      fc.property(
        fc.array(part).map((parts) => parts.join('/')),
        (path) => {
          if (!isSafeRelativePath(path)) return
          for (const [root, joined] of [
            ['/root', relative('/root', join('/root', path))],
            ['C:\\root', win32.relative('C:\\root', win32.join('C:\\root', path))],
          ] as const) {
            expect([root, joined.startsWith('..')]).toEqual([root, false])
            expect(joined).not.toBe('')
          }
        },
      ),
    )
  })
})
