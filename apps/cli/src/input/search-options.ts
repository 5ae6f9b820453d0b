import { join, resolve } from 'node:path'
import {
  type AgentKind,
  agentKinds,
  type CompensationChoice,
  type CreateSearchBody,
  compensationChoices,
  EspalierError,
  type Fidelity,
  fidelities,
  type MetricChoice,
  metricChoices,
  type PredictorKind,
  predictorKinds,
  type SearchTarget,
  type Split,
  searchDefaults,
  splits,
  type Transfer,
  transfers,
} from '@espalier/contracts'
import { isRemoteSource } from '@espalier/model-hub'
import { findTextFiles } from '@espalier/text-data'
import { type Command, Option } from 'commander'
import { UsageError } from './command-errors.js'
import { addConstraintOptions, type ConstraintOptions, createConstraints, parseTargets } from './constraint-options.js'
import type { SubmittedModel } from './fetch-sources.js'
import { integerFrom } from './parse-options.js'

export interface SearchOptions extends ConstraintOptions {
  readonly targets: readonly SearchTarget[]
  readonly budget: number
  readonly seed: number
  readonly calibration?: string
  readonly validation?: string
  readonly test?: string
  readonly window: number
  readonly calibrationWindows: number
  readonly validationWindows: number
  readonly finalWindows?: number
  readonly metric: MetricChoice
  readonly compensation: CompensationChoice
  readonly agent: AgentKind
  readonly predictor: PredictorKind
  readonly fidelity: Fidelity
  readonly transfer: Transfer
  readonly name?: string
}

/** The settings of a search as options of a command. */
export function addSearchOptions(command: Command): Command {
  const defaults = searchDefaults
  const targeted = command.option(
    '--targets <list>',
    'sparsities, or limits to fill such as weight-bytes=6GB or latency=0.7x',
    parseTargets,
    [...defaults.targets],
  )
  return addConstraintOptions(targeted)
    .option(
      '--budget <count>',
      'real evaluations on the validation split, all included',
      integerFrom(1),
      defaults.budget,
    )
    .option(
      '--seed <number>',
      'same seed, model, texts and earlier evaluations: same result',
      integerFrom(0, 2 ** 32 - 1),
      defaults.seed,
    )
    .option(
      '--calibration <source>',
      'text for importance and compensation (default: texts/calibration.txt of the model)',
    )
    .option('--validation <source>', 'text that policies are compared on (default: texts/validation.txt of the model)')
    .option('--test <source>', 'text for the final numbers only (default: texts/test.txt of the model)')
    .option('--window <tokens>', 'tokens a window', integerFrom(2), defaults.windowLength)
    .option('--calibration-windows <count>', 'windows of calibration', integerFrom(1), defaults.calibrationWindows)
    .option('--validation-windows <count>', 'windows an evaluation', integerFrom(1), defaults.validationWindows)
    .option(
      '--final-windows <count>',
      'most windows of the final measurements (default: all there are)',
      integerFrom(1),
    )
    .addOption(
      new Option('--metric <name>', 'how units are ranked; auto: by what a few evaluations say')
        .choices(metricChoices)
        .default(defaults.metric),
    )
    .addOption(
      new Option(
        '--compensation <name>',
        'what stands in for removed units; auto: least-squares if the calibration text is long enough, else mean',
      )
        .choices(compensationChoices)
        .default(defaults.compensation),
    )
    .addOption(new Option('--agent <kind>', 'what proposes policies').choices(agentKinds).default(defaults.agent))
    .addOption(
      new Option('--predictor <kind>', 'what learns from the evaluations')
        .choices(predictorKinds)
        .default(defaults.predictor),
    )
    .addOption(
      new Option('--fidelity <kind>', 'auto: probes on 1/4 or 1/16 of the windows where that saves; full: none')
        .choices(fidelities)
        .default(defaults.fidelity),
    )
    .addOption(
      new Option(
        '--transfer <kind>',
        'same-model: start from all that was measured of the model by the same protocol; auto: or else from the curve of a related model, if that predicts better; none: from nothing',
      )
        .choices(transfers)
        .default(defaults.transfer),
    )
    .option('--name <text>', 'name of the search in lists')
}

/**
 * The settings as the service takes them, with absolute paths of texts that exist, and addresses as they are.
 * @throws UsageError naming the option when a text is neither given nor in the model's folder
 */
export async function createSearchBody(
  options: SearchOptions,
  model: SubmittedModel,
): Promise<Omit<CreateSearchBody, 'model'>> {
  const constraints = await createConstraints(options)
  const texts = {} as Record<Split, string>
  for (const split of splits) texts[split] = await findText(split, options[split], model)
  return {
    ...(options.name === undefined ? {} : { name: options.name }),
    targets: [...options.targets],
    ...(constraints === undefined ? {} : { constraints }),
    budget: options.budget,
    seed: options.seed,
    agent: options.agent,
    predictor: options.predictor,
    fidelity: options.fidelity,
    transfer: options.transfer,
    metric: options.metric,
    compensation: options.compensation,
    windowLength: options.window,
    calibrationWindows: options.calibrationWindows,
    validationWindows: options.validationWindows,
    finalWindows: options.finalWindows ?? null,
    texts,
  }
}

async function findText(split: Split, given: string | undefined, model: SubmittedModel): Promise<string> {
  if (given !== undefined && isRemoteSource(given)) return given
  const source = given === undefined ? ownText(split, model) : resolve(given)
  try {
    await findTextFiles(source)
    return source
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error
    if (given !== undefined) throw new UsageError(`the ${split} text ${error.message}`)
    throw new UsageError(
      `the model has no ${split} text of its own (${source}): give --calibration FILE, --validation FILE and --test FILE`,
    )
  }
}

function ownText(split: Split, model: SubmittedModel): string {
  if ('path' in model) return join(model.path, 'texts', `${split}.txt`)
  throw new UsageError(`${model.source} has no ${split} text of its own: give --${split} FILE`)
}
