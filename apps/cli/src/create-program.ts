import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import type { Terminal } from './output/terminal.js'

type CommandLoader = (terminal: Terminal) => Promise<Command>

/** Every command by its name, in the groups and the order of the help; loaded when it is wanted. */
const commandGroups: Readonly<Record<string, Readonly<Record<string, CommandLoader>>>> = {
  'From a model to pruned models': {
    demo: async (terminal) => (await import('./commands/demo.js')).createDemoCommand(terminal),
    search: async (terminal) => (await import('./commands/search.js')).createSearchCommand(terminal),
  },
  'Without any server': {
    inspect: async (terminal) => (await import('./commands/inspect.js')).createInspectCommand(terminal),
    plan: async (terminal) => (await import('./commands/plan.js')).createPlanCommand(terminal),
    'measure-latency': async (terminal) =>
      (await import('./commands/measure-latency.js')).createMeasureLatencyCommand(terminal),
    ppl: async (terminal) => (await import('./commands/ppl.js')).createPplCommand(terminal),
    tasks: async (terminal) => (await import('./commands/tasks.js')).createTasksCommand(terminal),
    experiments: async (terminal) => (await import('./commands/experiments.js')).createExperimentsCommand(terminal),
  },
  'The service': {
    up: async (terminal) => (await import('./commands/up.js')).createUpCommand(terminal),
    start: async (terminal) => (await import('./commands/start.js')).createStartCommand(terminal),
    workers: async (terminal) => (await import('./commands/workers.js')).createWorkersCommand(terminal),
  },
  'Searches of the running service': {
    submit: async (terminal) => (await import('./commands/submit.js')).createSubmitCommand(terminal),
    watch: async (terminal) => (await import('./commands/watch.js')).createWatchCommand(terminal),
    status: async (terminal) => (await import('./commands/status.js')).createStatusCommand(terminal),
    front: async (terminal) => (await import('./commands/front.js')).createFrontCommand(terminal),
    export: async (terminal) => (await import('./commands/export.js')).createExportCommand(terminal),
    generate: async (terminal) => (await import('./commands/generate.js')).createGenerateCommand(terminal),
    cancel: (terminal) => loadControlCommand('cancel', terminal),
    pause: (terminal) => loadControlCommand('pause', terminal),
    resume: (terminal) => loadControlCommand('resume', terminal),
  },
}

/**
 * The command line `espalier`. Where the first argument names a command, the program knows that one alone: loading
 * all of them takes longer than most commands do.
 */
export async function createProgram(terminal: Terminal, args: readonly string[]): Promise<Command> {
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
  const named = Object.values(commandGroups).some((commands) => Object.hasOwn(commands, args[0] ?? ''))
  for (const [heading, commands] of Object.entries(commandGroups)) {
    program.commandsGroup(`${heading}:`)
    for (const [name, load] of Object.entries(commands)) {
      if (named && name !== args[0]) continue
      const command = await load(terminal)
      program.addCommand(command.copyInheritedSettings(program))
      for (const nested of command.commands) nested.copyInheritedSettings(command)
    }
  }
  return program
}

async function loadControlCommand(action: 'cancel' | 'pause' | 'resume', terminal: Terminal): Promise<Command> {
  return (await import('./commands/control.js')).createControlCommand(action, terminal)
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  const isVersioned = typeof manifest === 'object' && manifest !== null && 'version' in manifest
  return isVersioned ? String(manifest.version) : 'unknown'
}
