/** `npm run bench -- NAME [options]` runs bench/NAME.mjs; needs a build. */
import { existsSync, readdirSync } from 'node:fs'

const folder = new URL('../bench/', import.meta.url)
const [name] = process.argv.splice(2, 1)
const file = new URL(`${name}.mjs`, folder)

if (name === undefined || !/^[\w-]+$/.test(name) || !existsSync(file)) {
  const names = readdirSync(folder).filter((entry) => entry.endsWith('.mjs'))
  console.error(`Which benchmark? ${names.map((entry) => entry.slice(0, -'.mjs'.length)).join(', ')}`)
  process.exit(2)
}
try {
  await import(file.href)
} catch (error) {
  if (error?.code !== 'ERR_MODULE_NOT_FOUND') throw error
  console.error(`${error.message}\nThe benchmarks run what is built: npm install && npm run build`)
  process.exitCode = 2
}
