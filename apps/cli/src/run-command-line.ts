import { CommanderError } from 'commander'
import { createProgram } from './create-program.js'
import { InterruptedError, UsageError } from './input/command-errors.js'
import { renderError } from './output/render-error.js'
import type { Terminal } from './output/terminal.js'

/** 0 done, 1 failed, 2 used wrongly, 130 ended by Ctrl-C. */
export type ExitCode = 0 | 1 | 2 | 130

/** Runs one command line, e.g. `['ppl', 'demo', '--window', '256']`, and says how the process is to end. */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<ExitCode> {
  try {
    const program = await createProgram(terminal, args)
    await program.parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (error instanceof InterruptedError) return 130
    terminal.note(renderError(error, terminal.colors))
    return error instanceof UsageError ? 2 : 1
  }
}
