import { EspalierError } from '@espalier/contracts'
import type { Colors } from './terminal.js'

/** Title, what exactly, and the code that a search engine or a colleague can be given. */
export function renderError(error: unknown, colors: Colors): string {
  if (error instanceof EspalierError) {
    return [
      `${colors.red(colors.bold('error:'))} ${error.title}`,
      ...error.message.split('\n').map((line) => `  ${line}`),
      colors.dim(`  code ${error.code}`),
    ].join('\n')
  }
  return `${colors.red(colors.bold('error:'))} ${error instanceof Error ? error.message : String(error)}`
}
