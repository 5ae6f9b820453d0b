import { z } from 'zod'
import { precisions } from './evaluator-capacity.js'
import { keptUnitsSchema } from './policy.js'
import { latencyTableSchema } from './policy-constraints.js'
import { pruningMethodSchema } from './pruning-method.js'
import { exportFormats, splits } from './search-settings.js'

/**
 * A step is the smallest piece of work of a search: a row with the unique key (search, round, kind, index).
 * Doing one twice changes nothing. These are the payloads and results, one pair a kind.
 */
export const stepKinds = ['prepare', 'evaluate', 'train', 'propose', 'score', 'export'] as const
export type StepKind = (typeof stepKinds)[number]

export const workerRoles = ['evaluator', 'predictor', 'agent'] as const
export type WorkerRole = (typeof workerRoles)[number]

/** Which role does which kind of step. */
export const roleOfStep = {
  prepare: 'evaluator',
  evaluate: 'evaluator',
  export: 'evaluator',
  train: 'predictor',
  score: 'predictor',
  propose: 'agent',
} as const satisfies Record<StepKind, WorkerRole>

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)

/** A text after tokenising: ids as little-endian int32 in the artefact store. */
const tokenisedSplitSchema = z.object({
  artifact: sha256,
  textHash: sha256,
  tokens: z.int(),
  windows: z.int(),
  /** UTF-8 bytes of the text that the predicted tokens of each window cover; absent: not counted. */
  windowBytes: z.array(z.int()).optional(),
})

/** What a step works under; see `methodOf`. */
const method = pruningMethodSchema.optional()

export const preparePayloadSchema = z.object({
  /** Whether Gram matrices are recorded. Preparations from before there was a choice do not say: by the settings. */
  gram: z.boolean().optional(),
  /** Whether the order in which units can be eliminated is recorded too: metric `obs` needs it. */
  elimination: z.literal(true).optional(),
})
export const prepareResultSchema = z.object({
  modelHash: sha256,
  /** Calibration record (safetensors) in the artefact store. */
  calibration: sha256,
  /** In which every evaluation of the search is computed; searches from before there was a choice mean fp32. */
  precision: z.enum(precisions).optional(),
  splits: z.object({ calibration: tokenisedSplitSchema, validation: tokenisedSplitSchema, test: tokenisedSplitSchema }),
  /** Measured where a target or limit is about time and the search brought no table. */
  latencies: latencyTableSchema.optional(),
  seconds: z.number(),
})

/** `trial` chooses the metric, `comparison` shows what the compensation is worth; the rest is measured under the method chosen. */
export const evaluationPurposes = [
  'dense',
  'uniform',
  'probe',
  'random',
  'proposal',
  'final',
  'test',
  'trial',
  'comparison',
] as const
export type EvaluationPurpose = (typeof evaluationPurposes)[number]

/** Where a policy came from: what it was measured for, or what proposed it. */
export const policyOrigins = [...evaluationPurposes, 'network', 'evolution'] as const

export const evaluatePayloadSchema = z.object({
  purpose: z.enum(evaluationPurposes),
  /** Target the policy was made for; null: none (dense, probes). */
  targetIndex: z.int().min(0).nullable(),
  keptUnits: keptUnitsSchema,
  sparsity: z.number(),
  split: z.enum(splits),
  /** Windows from the start of the split. */
  windows: z.int().min(1),
  /** What the predictor said before the evaluation, if it was asked. */
  predicted: z.object({ logPerplexity: z.number(), low: z.number(), high: z.number() }).nullable(),
  method,
})
export const evaluateResultSchema = z.object({
  logPerplexity: z.number(),
  perplexity: z.number(),
  /** Sum of the windowLength - 1 next-token negative log-likelihoods, a window. */
  nll: z.array(z.number()),
  tokens: z.int(),
  seconds: z.number(),
  /** Next-token distributions against the dense model's: mean nats a token, and share of tokens; null: not compared. */
  againstDense: z.object({ klDivergence: z.number(), top1Agreement: z.number() }).nullable().optional(),
  /** Of these, spent on fitting weights; with least squares only. */
  fitSeconds: z.number().optional(),
})

export const trainPayloadSchema = z.object({ method })
export const trainResultSchema = z.object({
  evaluations: z.int(),
  /** Policies that the predictor's residual process goes by; those of older searches have none. */
  residualSamples: z.int().default(0),
  /** Residual standard deviation of log-perplexity rise, after the fit. */
  noise: z.number(),
  /** Half the width of the round's 90 % intervals in predicted standard deviations; rounds of older searches have none. */
  intervalScale: z.number().optional(),
  /** The curve of a related model predicted better what was held out, so the predictor started from it. */
  related: z.literal(true).optional(),
  seconds: z.number(),
})

const proposedPolicySchema = z.object({
  keptUnits: keptUnitsSchema,
  origin: z.enum(['network', 'evolution', 'random', 'uniform']),
  /** The best by one draw from the predictor's posterior, not by its mean. */
  drawn: z.literal(true).optional(),
})
export const proposePayloadSchema = z.object({
  /** Policies wanted for each target; 0: only the generator is trained. */
  count: z.int().min(0),
  /**
   * Policies for each target, beside these, that are the best by one draw each from the predictor's posterior. Of a
   * predictor without a posterior, `count` more by its mean for each.
   */
  draws: z.int().min(1).optional(),
  /** Best measured policies of each target, best first: where evolution starts. */
  incumbents: z.array(z.array(keptUnitsSchema)),
  /** Proposals keep away from the incumbents. */
  explores: z.literal(true).optional(),
  /** The intervals of the round before missed too often: draws may differ from the best proposal in every module. */
  drifted: z.literal(true).optional(),
  /** Measured by the prepare step, where a target or limit is about time. */
  latencies: latencyTableSchema.optional(),
  method,
})
export const proposeResultSchema = z.object({
  targets: z.array(z.object({ policies: z.array(proposedPolicySchema) })),
  backend: z.string(),
  seconds: z.number(),
})

export const scorePayloadSchema = z.object({})
export const scoreResultSchema = z.object({
  /** Same order as the policies of the propose step of the round. */
  targets: z.array(
    z.object({
      scores: z.array(z.object({ logPerplexity: z.number(), low: z.number(), high: z.number() })),
    }),
  ),
  policies: z.int(),
  seconds: z.number(),
})

export const exportPayloadSchema = z.object({
  targetIndex: z.int().min(0),
  format: z.enum(exportFormats),
  keptUnits: keptUnitsSchema,
  sparsity: z.number(),
  /** Measured log-perplexity of the policy on the validation windows, which the file must give again. */
  logPerplexity: z.number(),
  windows: z.int().min(1),
  /** Numbers for the README of the pruned model. */
  report: z.object({
    denseTestPerplexity: z.number().nullable(),
    uniformTestPerplexity: z.number().nullable(),
    testPerplexity: z.number().nullable(),
    validationPerplexity: z.number(),
  }),
  method,
})
export const exportResultSchema = z.object({
  /** Folder, relative to the root of the artefact store. */
  directory: z.string(),
  files: z.array(z.object({ name: z.string(), bytes: z.int(), sha256 })),
  parameters: z.int(),
  /** Whether the compensation could be written in this format, and if not, why. */
  compensationWritten: z.boolean(),
  note: z.string().nullable(),
  /** Perplexity of the file on the same windows, measured after loading it again. */
  perplexity: z.number(),
  /** Perplexity it had to have (the policy's; without compensation where the format cannot hold it). */
  expectedPerplexity: z.number(),
  seconds: z.number(),
})

export const stepSchemas = {
  prepare: { payload: preparePayloadSchema, result: prepareResultSchema },
  evaluate: { payload: evaluatePayloadSchema, result: evaluateResultSchema },
  train: { payload: trainPayloadSchema, result: trainResultSchema },
  propose: { payload: proposePayloadSchema, result: proposeResultSchema },
  score: { payload: scorePayloadSchema, result: scoreResultSchema },
  export: { payload: exportPayloadSchema, result: exportResultSchema },
} as const satisfies Record<StepKind, { payload: z.ZodType; result: z.ZodType }>

export type StepPayload<K extends StepKind = StepKind> = z.infer<(typeof stepSchemas)[K]['payload']>
export type StepResult<K extends StepKind = StepKind> = z.infer<(typeof stepSchemas)[K]['result']>
export type PrepareResult = StepResult<'prepare'>
export type EvaluatePayload = StepPayload<'evaluate'>
export type EvaluateResult = StepResult<'evaluate'>
export type ProposeResult = StepResult<'propose'>
export type ScoreResult = StepResult<'score'>
export type ExportPayload = StepPayload<'export'>
export type ExportResult = StepResult<'export'>
