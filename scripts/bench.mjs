/** `npm run bench -- NAME [options]` runs bench/NAME.mjs; needs a build. `--help` prints what the file says of itself. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'

const folder = new URL('../bench/', import.meta.url)
const [name] = process.argv.splice(2, 1)
const file = new URL(`${name}.mjs`, folder)

if (name === undefined || !/^[\w-]+$/.test(name) || !existsSync(file)) {
  const names = readdirSync(folder).filter((entry) => entry.endsWith('.mjs'))
  console.error(`Which benchmark? ${names.map((entry) => entry.slice(0, -'.mjs'.length)).join(', ')}`)
  process.exit(2)
}
if (process.argv.includes('--help')) {
  const [, comment = ''] = readFileSync(file, 'utf8').match(/^\/\*\*(.*?)\*\//s) ?? []
  console.log(comment.replaceAll(/^ \* ?/gm, '').trim())
  process.exit(0)
}
try {
  await import(file.href)
} catch (error) {
  if (error?.code !== 'ERR_MODULE_NOT_FOUND') throw error
  console.error(`${error.message}\nThe benchmarks run what is built: npm install && npm run build`)
  process.exitCode = 2
}
