import { searchDefaults } from '@espalier/contracts'
import { taskNames } from '@espalier/tasks'
import { Command, InvalidArgumentError } from 'commander'
import { UsageError } from '../input/command-errors.js'
import { fetchModel, fetchText, modelArgument } from '../input/fetch-sources.js'
import { runInterruptible } from '../input/interruption.js'
import { integerFrom } from '../input/parse-options.js'
import { readPolicy } from '../input/read-policy.js'
import { chooseTaskSources } from '../input/task-sources.js'
import { measureTasks, type TasksProgress } from '../measure-tasks.js'
import { formatPercent, formatSeconds } from '../output/format-values.js'
import { renderTasks } from '../output/render-tasks.js'
import type { Terminal } from '../output/terminal.js'

/** Where lines cannot be replaced, as in a log. */
const noteEveryMs = 30_000

interface TasksOptions {
  readonly task: string[]
  readonly data: string[]
  readonly limit?: number
  readonly policy?: string
  readonly calibrationText?: string
  readonly calibrationWindows?: number
  readonly calibrationWindow: number
  readonly threads?: number
  readonly json?: true
}

/** `espalier tasks`: multiple-choice tasks in the way of lm-evaluation-harness, without a server. */
export function createTasksCommand(terminal: Terminal): Command {
  return new Command('tasks')
    .summary('measure a model or a policy on multiple-choice tasks, without a server')
    .description(
      'Asks for the likelihood of every choice of every document, with the prompts and metrics of ' +
        'lm-evaluation-harness, without examples in the prompt (0-shot). acc: the likeliest choice is right; acc_norm: the ' +
        'likeliest by character. With a policy, the dense model and the policy are shown side by side.',
    )
    .argument('<model>', modelArgument)
    .requiredOption('--task <names>', `of ${taskNames.join(',')}`, parseTasks)
    .requiredOption(
      '--data <source>',
      'documents: JSON lines or Parquet as on the hub, folder::split, hf://datasets/org/name/path; ' +
        'several tasks: task=source for each, or a folder with task.jsonl, task.parquet or task/',
      collect,
    )
    .option('--limit <count>', 'documents from the start of each task (default: all)', integerFrom(1))
    .option('--policy <file>', 'policy file, format espalier-policy/1 (default: the dense model alone)')
    .option('--calibration-text <source>', 'text that ranks units and gives what compensation needs')
    .option('--calibration-windows <count>', 'windows of it (default: 16, or all if fewer)', integerFrom(1))
    .option('--calibration-window <tokens>', 'tokens a window of it', integerFrom(2), searchDefaults.windowLength)
    .option('--threads <count>', 'threads of the numeric session (default: all cores)', integerFrom(1, 1024))
    .option('--json', 'print one JSON object')
    .action((model: string, options: TasksOptions) => runTasks(model, options, terminal))
}

async function runTasks(model: string, options: TasksOptions, terminal: Terminal): Promise<void> {
  if (options.calibrationText !== undefined && options.policy === undefined) {
    throw new UsageError('--calibration-text is for a policy: give --policy FILE too')
  }
  const sources = await chooseTaskSources(options.task, options.data)
  const policy = options.policy === undefined ? null : await readPolicy(options.policy)
  const report = await runInterruptible(async (signal) => {
    const modelDirectory = await fetchModel(model, terminal, signal)
    const fetched = new Map<string, string>()
    for (const [task, source] of sources) fetched.set(task, await fetchText(source, terminal, signal))
    const text = options.calibrationText
    return measureTasks({
      ...{ modelDirectory, policy, signal, sources: fetched },
      limit: options.limit ?? null,
      calibration: text === undefined ? null : { text: await fetchText(text, terminal, signal) },
      calibrationWindows: options.calibrationWindows ?? null,
      windowLength: options.calibrationWindow,
      threads: options.threads ?? null,
      onProgress: createProgress(terminal),
    })
  })
  terminal.live([])
  terminal.print(options.json ? JSON.stringify(report) : renderTasks(report, terminal.colors))
}

/** Shows how far a stage is and, from its speed so far, how long it will take. */
function createProgress(terminal: Terminal): (progress: TasksProgress) => void {
  let startedMs = performance.now()
  let notedMs = startedMs
  let last = 0
  return ({ stage, fraction }) => {
    // Calibration and measurement count anew from nothing.
    if (fraction < last) startedMs = performance.now()
    last = fraction
    const elapsed = (performance.now() - startedMs) / 1000
    const left = fraction > 0 ? `, ${formatSeconds((elapsed * (1 - fraction)) / fraction)} left` : ''
    const line = `${stage}: ${formatPercent(fraction)}${left}`
    if (terminal.interactive) return terminal.live([line])
    if (performance.now() - notedMs < noteEveryMs) return
    notedMs = performance.now()
    terminal.note(line)
  }
}

function parseTasks(text: string): string[] {
  const names = text.split(',').map((name) => name.trim())
  for (const name of names) {
    if (!taskNames.includes(name)) {
      throw new InvalidArgumentError(`"${name}" is not a task; there are ${taskNames.join(', ')}.`)
    }
  }
  return [...new Set(names)]
}

function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value]
}
