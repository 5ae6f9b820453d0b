import picocolors from 'picocolors'

export type Colors = ReturnType<typeof picocolors.createColors>

/** Where a command writes. Results go to standard output, everything else to standard error. */
export interface Terminal {
  /** A line, or several, of the result. */
  print(text: string): void
  /** A line, or several, for the person who watches. */
  note(text: string): void
  /** Replaces the lines that `live` wrote last; only where `interactive`. */
  live(lines: readonly string[]): void
  /** Whether `live` works: a person looks at standard error. */
  readonly interactive: boolean
  readonly colors: Colors
}

/** The terminal of this process. */
export function createTerminal(): Terminal {
  const stream = process.stderr
  const interactive = stream.isTTY === true
  let liveLines = 0
  const clearLive = () => {
    if (liveLines > 0) stream.write(`\u001b[${liveLines}A\u001b[J`)
    liveLines = 0
  }
  return {
    interactive,
    colors: interactive ? picocolors : picocolors.createColors(false),
    print(text) {
      clearLive()
      process.stdout.write(`${text}\n`)
    },
    note(text) {
      clearLive()
      stream.write(`${text}\n`)
    },
    live(lines) {
      if (!interactive) return
      // A line that wraps would be two for the cursor: the next redraw would leave a rest of it.
      const fitting = lines.map((line) => truncateVisible(line, stream.columns ?? 80))
      clearLive()
      stream.write(fitting.map((line) => `${line}\n`).join(''))
      liveLines = fitting.length
    },
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character starts a colour
const colorCode = /^\u001b\[[0-9;]*m/

/** Cuts a line to so many visible characters; colour codes take no room and all stay. */
export function truncateVisible(line: string, width: number): string {
  let visible = 0
  let result = ''
  for (let at = 0; at < line.length; ) {
    const code = colorCode.exec(line.slice(at))?.[0]
    const piece = code ?? line[at] ?? ''
    if (code !== undefined || visible < width) result += piece
    if (code === undefined) visible++
    at += piece.length
  }
  return result
}
