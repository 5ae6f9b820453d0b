import type { Compensation, ImportanceMetric, PolicyFile } from '@espalier/contracts'
import { type ContinuationsRequest, createEvaluator, type Evaluator } from '@espalier/evaluator'
import { loadTokenizer, openModel } from '@espalier/model-graph'
import { createPrunableModel } from '@espalier/pruning'
import {
  type EncodedChoice,
  encodeQuestions,
  getTask,
  type Question,
  scoreQuestions,
  type Task,
  type TaskScore,
} from '@espalier/tasks'
import { readRecords } from '@espalier/text-data'
import type { TokenSource } from './input/read-tokens.js'
import { calibratePolicy, checkPolicy, resolvePolicy } from './prepare-policy.js'

/** The harness that defines tasks, prompts and metrics; bench/reference/task_reference.py compares with this version. */
const taskProtocol = 'lm-evaluation-harness 0.4.13, 0-shot'

export interface TasksRequest {
  readonly modelDirectory: string
  /** Name of a task -> its documents. */
  readonly sources: ReadonlyMap<string, string>
  /** Documents from the start of each task; null: all. */
  readonly limit: number | null
  /** null: the dense model alone. */
  readonly policy: PolicyFile | null
  readonly calibration: TokenSource | null
  readonly calibrationWindows: number | null
  /** Tokens a window of the calibration. */
  readonly windowLength: number
  readonly threads: number | null
  readonly signal: AbortSignal
  readonly onProgress: (progress: TasksProgress) => void
}

export interface TasksProgress {
  readonly stage: string
  /** Of the whole stage. */
  readonly fraction: number
}

interface TaskReport {
  readonly task: string
  readonly files: readonly string[]
  readonly dense: TaskScore
  /** null: there is no policy. */
  readonly policy: TaskScore | null
}

/** What `espalier tasks --json` prints. */
export interface TasksReport {
  readonly model: string
  readonly protocol: string
  /** null: the dense model alone. */
  readonly policy: {
    readonly sparsity: number
    readonly metric: ImportanceMetric
    readonly compensation: Compensation
    readonly calibrationWindows: number | null
  } | null
  readonly tasks: readonly TaskReport[]
  /** Tokens computed, of all tasks, dense and policy. */
  readonly tokens: number
  readonly seconds: number
}

/**
 * Multiple-choice tasks by the likelihood of their choices, for the dense model and a policy of it, without any server.
 * @throws EspalierError whatever is wrong with the model, the documents, the texts or the policy
 */
export async function measureTasks(request: TasksRequest): Promise<TasksReport> {
  const { policy, signal } = request
  const model = await openModel(request.modelDirectory)
  if (policy !== null) await checkPolicy(policy, model, request.calibration !== null)
  const loaded = await loadTasks(request, model.directory, model.shape.maxPositions)
  const evaluator = await createEvaluator({
    modelDirectory: model.directory,
    ...(request.threads === null ? {} : { threads: request.threads }),
  })
  try {
    const started = performance.now()
    const onProgress = (done: number, windows: number) => {
      request.onProgress({ stage: 'calibrating', fraction: done / windows })
    }
    const calibration =
      policy === null ? null : await calibratePolicy({ ...request, onProgress }, policy, model, evaluator)
    const resolved = policy === null ? null : resolvePolicy(policy, createPrunableModel(model.shape), calibration)
    const chosen = policy === null ? null : { compensation: policy.compensation, metric: policy.metric }
    const pruned = resolved && { ...chosen, calibration, keptIndices: resolved.keptIndices }
    const { reports, tokens } = await runTasks(evaluator, loaded, pruned, request)
    signal.throwIfAborted()
    return {
      model: model.directory,
      protocol: taskProtocol,
      policy: policy &&
        resolved && {
          ...{ sparsity: resolved.sparsity, metric: policy.metric, compensation: policy.compensation },
          calibrationWindows: calibration?.windows ?? null,
        },
      tasks: reports,
      tokens,
      seconds: (performance.now() - started) / 1000,
    }
  } finally {
    await evaluator.close()
  }
}

export interface LoadedTask {
  readonly task: Task
  readonly files: readonly string[]
  readonly questions: readonly Question[]
  /** By question and choice. */
  readonly choices: readonly (readonly EncodedChoice[])[]
}

/** Reads and tokenises the documents of all tasks. */
export async function loadTasks(
  { sources, limit, onProgress }: Pick<TasksRequest, 'sources' | 'limit' | 'onProgress'>,
  modelDirectory: string,
  maxPositions: number,
): Promise<LoadedTask[]> {
  const tokenizer = await loadTokenizer(modelDirectory)
  const loaded: LoadedTask[] = []
  for (const [name, source] of sources) {
    onProgress({ stage: `reading ${name}`, fraction: loaded.length / sources.size })
    const task = getTask(name)
    const options = {
      columns: task.columns,
      defaultSplit: task.split,
      mostRecords: limit ?? Number.POSITIVE_INFINITY,
    }
    const { files, records } = await readRecords(source, options)
    const questions = records.map(({ values, place }) => task.parse(values, place))
    const encode = (texts: readonly string[]) => tokenizer.encodeEach(texts)
    loaded.push({
      task,
      files,
      questions,
      choices: await encodeQuestions(questions, { encode, maxPositions, task: name }),
    })
  }
  return loaded
}

type PolicyChoice = Pick<ContinuationsRequest, 'keptIndices' | 'calibration' | 'compensation' | 'metric'>

const dense: PolicyChoice = { keptIndices: null, calibration: null }

async function runTasks(
  evaluator: Evaluator,
  loaded: readonly LoadedTask[],
  pruned: PolicyChoice | null,
  { signal, onProgress }: TasksRequest,
): Promise<{ reports: TaskReport[]; tokens: number }> {
  const runs = pruned === null ? 1 : 2
  const all = runs * loaded.reduce((sum, { choices }) => sum + countTokens(choices), 0)
  let before = 0
  let tokens = 0
  const score = async (choice: PolicyChoice, { task, questions, choices }: LoadedTask) => {
    const stage = `${task.name}, ${choice === dense ? 'dense' : 'policy'}`
    const own = countTokens(choices)
    const measured = await evaluator.measureContinuations({
      ...{ ...choice, signal },
      sequences: choices.flat().map(({ ids, continuationTokens }) => ({ ids, scoredTokens: continuationTokens })),
      onProgress: (done, planned) => onProgress({ stage, fraction: (before + (own * done) / planned) / all }),
    })
    before += own
    tokens += measured.tokens
    return scoreQuestions(task, questions, groupLike(choices, measured.logLikelihoods))
  }
  const reports: TaskReport[] = []
  for (const each of loaded) {
    const { task, files } = each
    const scored = { dense: await score(dense, each), policy: pruned && (await score(pruned, each)) }
    reports.push({ task: task.name, files, ...scored })
  }
  return { reports, tokens }
}

function countTokens(choices: LoadedTask['choices']): number {
  return choices.flat().reduce((sum, { ids }) => sum + ids.length, 0)
}

/** Values of all choices in a row -> those of each question. */
function groupLike(choices: LoadedTask['choices'], values: readonly number[]): number[][] {
  let start = 0
  return choices.map(({ length }) => {
    start += length
    return values.slice(start - length, start)
  })
}
