import { formatPercent, formatSeconds } from '../output/format-values.js'
import type { Terminal } from '../output/terminal.js'

/** Where lines cannot be replaced, as in a log. */
const noteEveryMs = 20_000
/** Before this share nothing can be said about what is left. */
const LEAST_SHARE = 0.03

/** Shows how far a part of the report is, and about how long it still takes. */
export function createPartProgress(heading: string, terminal: Terminal) {
  const started = performance.now()
  let notedMs = started
  terminal.note(heading)
  return {
    update(share: number, doing: string): void {
      const seconds = (performance.now() - started) / 1000
      const left = share < LEAST_SHARE ? '' : `, about ${formatSeconds((seconds * (1 - share)) / share)} left`
      const line = `  ${formatPercent(share)}, ${formatSeconds(seconds)}${left}: ${doing}`
      terminal.live([line])
      if (terminal.interactive || performance.now() - notedMs < noteEveryMs) return
      notedMs = performance.now()
      terminal.note(line)
    },
    end(): void {
      terminal.live([])
      terminal.note(`  done in ${formatSeconds((performance.now() - started) / 1000)}`)
    },
  }
}
