import picocolors from 'picocolors'
import type { Terminal } from './terminal.js'

/** A terminal that keeps what is written, without colours and without redrawing. */
export function createRecordedTerminal() {
  const printed: string[] = []
  const noted: string[] = []
  const terminal: Terminal = {
    interactive: false,
    colors: picocolors.createColors(false),
    print: (text) => printed.push(text),
    note: (text) => noted.push(text),
    live: () => undefined,
  }
  return { terminal, printed: () => printed.join('\n'), noted: () => noted.join('\n') }
}
