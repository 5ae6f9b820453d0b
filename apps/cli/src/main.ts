import { createTerminal } from './output/terminal.js'
import { runCommandLine } from './run-command-line.js'

/** The process of `espalier`: runs the command line, then ends with its exit code. */
export async function main(args: readonly string[]): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // The reader of a pipe went away (`| head`): there is nobody left to tell.
      if (error.code === 'EPIPE') process.exit(0)
      throw error
    })
  }
  const code = await runCommandLine(args, createTerminal())
  process.stdout.write('', () => process.exit(code))
}
