import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { createControlCommand } from './commands/control.js'
import { createDemoCommand } from './commands/demo.js'
import { createExperimentsCommand } from './commands/experiments.js'
import { createExportCommand } from './commands/export.js'
import { createFrontCommand } from './commands/front.js'
import { createGenerateCommand } from './commands/generate.js'
import { createInspectCommand } from './commands/inspect.js'
import { createMeasureLatencyCommand } from './commands/measure-latency.js'
import { createPlanCommand } from './commands/plan.js'
import { createPplCommand } from './commands/ppl.js'
import { createSearchCommand } from './commands/search.js'
import { createStartCommand } from './commands/start.js'
import { createStatusCommand } from './commands/status.js'
import { createSubmitCommand } from './commands/submit.js'
import { createTasksCommand } from './commands/tasks.js'
import { createUpCommand } from './commands/up.js'
import { createWatchCommand } from './commands/watch.js'
import { createWorkersCommand } from './commands/workers.js'
import type { Terminal } from './output/terminal.js'

/** The command line `espalier`, all of it. */
export function createProgram(terminal: Terminal): Command {
  const program = new Command('espalier')
    .description('Finds which attention heads and feed-forward channels of a language model to remove.')
    .version(readVersion())
    .exitOverride()
    // What stands after `experiments predictor` is its own, though `experiments` has options of the same name.
    .enablePositionalOptions()
    .configureOutput({
      writeOut: (text) => terminal.print(text.trimEnd()),
      writeErr: (text) => terminal.note(text.trimEnd()),
    })
    .showHelpAfterError('(add --help for what is possible)')
  const groups: readonly (readonly [string, readonly Command[]])[] = [
    ['From a model to pruned models', [createDemoCommand(terminal), createSearchCommand(terminal)]],
    [
      'Without any server',
      [
        createInspectCommand(terminal),
        createPlanCommand(terminal),
        createMeasureLatencyCommand(terminal),
        createPplCommand(terminal),
        createTasksCommand(terminal),
        createExperimentsCommand(terminal),
      ],
    ],
    ['The service', [createUpCommand(terminal), createStartCommand(terminal), createWorkersCommand(terminal)]],
    [
      'Searches of the running service',
      [
        createSubmitCommand(terminal),
        createWatchCommand(terminal),
        createStatusCommand(terminal),
        createFrontCommand(terminal),
        createExportCommand(terminal),
        createGenerateCommand(terminal),
        ...(['cancel', 'pause', 'resume'] as const).map((action) => createControlCommand(action, terminal)),
      ],
    ],
  ]
  for (const [heading, commands] of groups) {
    program.commandsGroup(`${heading}:`)
    for (const command of commands) {
      program.addCommand(command.copyInheritedSettings(program))
      for (const nested of command.commands) nested.copyInheritedSettings(command)
    }
  }
  return program
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  const isVersioned = typeof manifest === 'object' && manifest !== null && 'version' in manifest
  return isVersioned ? String(manifest.version) : 'unknown'
}
