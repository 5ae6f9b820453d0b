import { z } from 'zod'
import { policyConstraintsSchema, searchTargetSchema } from './policy-constraints.js'
import { compensationChoices, metricChoices } from './pruning-method.js'

export const agentKinds = ['network', 'random', 'uniform'] as const
export type AgentKind = (typeof agentKinds)[number]

/** What learns from the evaluations: the curve model, a CNN on mask matrices, or linear regression on kept shares. */
export const predictorKinds = ['curve', 'cnn', 'linear'] as const
export type PredictorKind = (typeof predictorKinds)[number]

/** `auto`: evaluations that need no more are made on a rung of 1/4 or 1/16 of the windows; `full`: all on all windows. */
export const fidelities = ['auto', 'full'] as const
export type Fidelity = (typeof fidelities)[number]

/**
 * What a search starts from: `same-model` from all that its team has measured of the model by the same protocol, `auto`
 * from that or else from the curve fitted to a related model, `none` from nothing.
 */
export const transfers = ['none', 'same-model', 'auto'] as const
export type Transfer = (typeof transfers)[number]

export const splits = ['calibration', 'validation', 'test'] as const
export type Split = (typeof splits)[number]

export const exportFormats = ['onnx', 'huggingface'] as const
export type ExportFormat = (typeof exportFormats)[number]

/** Everything that decides a search. Same settings, model, texts and earlier evaluations: same policies, same numbers. */
export const searchSettingsSchema = z.strictObject({
  targets: z.array(searchTargetSchema).min(1).max(16),
  /** What every policy must fulfil besides its target; without it a search has none. */
  constraints: policyConstraintsSchema.optional(),
  /**
   * Every real evaluation on the validation split, probes and initial ones included, over all targets, in full
   * evaluations: one on a quarter of the windows costs a quarter, a final measurement one.
   */
  budget: z.int().min(1).max(1_000_000),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1),
  agent: z.enum(agentKinds),
  /** Searches from before there was a choice have none and mean `curve`. */
  predictor: z.enum(predictorKinds).optional(),
  /** Searches from before there was a choice have none and mean `full`. */
  fidelity: z.enum(fidelities).optional(),
  /** Searches from before there was a choice have none and mean `none`. */
  transfer: z.enum(transfers).optional(),
  metric: z.enum(metricChoices),
  compensation: z.enum(compensationChoices),
  /** Tokens a window. */
  windowLength: z.int().min(2).max(1_048_576),
  calibrationWindows: z.int().min(1),
  /** Windows of the validation split that an evaluation of the search uses. */
  validationWindows: z.int().min(1),
  /** Most windows of the validation split in the final measurement, and of the test split; null: all there are. */
  finalWindows: z.int().min(1).nullable(),
  /** Policies a target that the final measurement compares; 0 skips it. */
  finalists: z.int().min(0).max(10),
  /** The search stops early when the expected improvement of every target, in log-perplexity, is below this. */
  minimumImprovement: z.number().min(0),
  texts: z.strictObject({ calibration: z.string().min(1), validation: z.string().min(1), test: z.string().min(1) }),
  exports: z.array(z.enum(exportFormats)),
})
export type SearchSettings = z.infer<typeof searchSettingsSchema>

/** Searches of agents without a network are what others are compared with: they start from nothing. */
export function startsFromEarlier({ agent, transfer = 'none' }: Pick<SearchSettings, 'agent' | 'transfer'>): boolean {
  return agent === 'network' && transfer !== 'none'
}

export const searchDefaults = {
  targets: [0.2, 0.35, 0.5],
  budget: 99,
  seed: 1,
  agent: 'network',
  predictor: 'curve',
  fidelity: 'auto',
  transfer: 'auto',
  metric: 'auto',
  compensation: 'auto',
  windowLength: 256,
  calibrationWindows: 16,
  validationWindows: 16,
  finalWindows: null,
  finalists: 3,
  minimumImprovement: 0,
  exports: ['onnx', 'huggingface'],
} as const satisfies Partial<SearchSettings>
