import type { ServiceLine, ServiceLog } from '../service/service-line.js'
import type { Terminal } from './terminal.js'

const sourceWidth = 16

/** Shows what happens to a service: everything, or only what went wrong. */
export function createServiceLog(terminal: Terminal, shown: 'all' | 'problems'): ServiceLog {
  return (line) => {
    if (shown === 'all' || line.level !== 'info') terminal.note(renderServiceLine(line, terminal))
  }
}

function renderServiceLine({ source, level, message }: ServiceLine, { colors }: Terminal): string {
  const time = colors.dim(new Date().toTimeString().slice(0, 8))
  const tinted = { info: (text: string) => text, warn: colors.yellow, error: colors.red }[level](message)
  return `${time}  ${source.padEnd(sourceWidth)}  ${tinted}`
}
