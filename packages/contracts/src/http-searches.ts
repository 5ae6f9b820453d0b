import { z } from 'zod'
import { idSchema, pageQuerySchema, pageSchema, plainTextSchema, timestampSchema } from './http-page.js'
import { recordedErrorSchema } from './http-problem.js'
import { compensations, policyFileSchema } from './policy.js'
import { resourceLimitSchema } from './policy-constraints.js'
import { chosenMethodSchema } from './pruning-method.js'
import { searchStates } from './search-record.js'
import { fidelities, predictorKinds, searchDefaults, searchSettingsSchema, transfers } from './search-settings.js'
import { stepKinds } from './steps.js'

const fields = searchSettingsSchema.shape

/**
 * `POST /v1/searches`. What is left out comes from `searchDefaults`; texts left out are
 * `texts/{calibration,validation,test}.txt` in the model's folder.
 */
export const createSearchBodySchema = z
  .strictObject({
    model: idSchema.meta({ description: 'Id of a model from POST /v1/models.' }),
    name: plainTextSchema.min(1).max(200).optional(),
    targets: fields.targets.default([...searchDefaults.targets]),
    constraints: fields.constraints,
    budget: fields.budget.default(searchDefaults.budget),
    seed: fields.seed.default(searchDefaults.seed),
    agent: fields.agent.default(searchDefaults.agent),
    predictor: z.enum(predictorKinds).default(searchDefaults.predictor),
    fidelity: z.enum(fidelities).default(searchDefaults.fidelity),
    transfer: z.enum(transfers).default(searchDefaults.transfer),
    metric: fields.metric.default(searchDefaults.metric),
    compensation: fields.compensation.default(searchDefaults.compensation),
    windowLength: fields.windowLength.default(searchDefaults.windowLength),
    calibrationWindows: fields.calibrationWindows.default(searchDefaults.calibrationWindows),
    validationWindows: fields.validationWindows.default(searchDefaults.validationWindows),
    finalWindows: fields.finalWindows.default(searchDefaults.finalWindows),
    finalists: fields.finalists.default(searchDefaults.finalists),
    minimumImprovement: fields.minimumImprovement.default(searchDefaults.minimumImprovement),
    exports: fields.exports.default([...searchDefaults.exports]),
    texts: z
      .strictObject({
        calibration: plainTextSchema.min(1).max(4096).optional(),
        validation: plainTextSchema.min(1).max(4096).optional(),
        test: plainTextSchema.min(1).max(4096).optional(),
      })
      .default({}),
  })
  .meta({ id: 'CreateSearch' })
/** What a client sends (defaults may be left out). */
export type CreateSearchBody = z.input<typeof createSearchBodySchema>
export type ParsedCreateSearchBody = z.output<typeof createSearchBodySchema>

export const roundErrorSchema = z.object({
  round: z.int(),
  evaluations: z.int(),
  meanAbsoluteError: z.number(),
  intervalCoverage: z.number(),
  /** The intervals missed more often than chance explains, so the next round explores more; older rounds do not say. */
  drift: z.boolean().optional(),
})

/** Best measured so far for a target, on the validation windows of the search. */
export const targetProgressSchema = z.object({
  /** Null: not known before the evaluator has measured latencies. */
  sparsityTarget: z.number().nullable(),
  target: resourceLimitSchema.optional(),
  bestPerplexity: z.number().nullable(),
  uniformPerplexity: z.number().nullable(),
})

/** Mirrors `SearchProgress`, with the times that only the service knows. */
export const searchProgressSchema = z
  .object({
    state: z.enum(searchStates),
    round: z.int(),
    rounds: z.int(),
    /** In full evaluations; one on fewer windows counts as its share of them. */
    evaluationsDone: z.number(),
    evaluationsBudget: z.int(),
    /** Evaluations of earlier searches of the model that it starts from; they are not in the budget. */
    earlierEvaluations: z.int().optional(),
    /** The predictor trained last started from the curve of a related model; left out: it did not. */
    relatedModel: z.literal(true).optional(),
    fraction: z.number(),
    densePerplexity: z.number().nullable(),
    targets: z.array(targetProgressSchema),
    predictorError: roundErrorSchema.nullable(),
    /** Importance metric and compensation; null: still being chosen. */
    method: chosenMethodSchema.nullable(),
    elapsedSeconds: z.number().nullable(),
    /** Seconds that are left, from the share of work done so far; null when nothing can be said. */
    etaSeconds: z.number().nullable(),
  })
  .meta({ id: 'SearchProgress' })
export type SearchProgressResource = z.infer<typeof searchProgressSchema>

export const searchTargetResultSchema = z.object({
  /** The sparsity asked for; for another target that of its uniform policy. */
  sparsityTarget: z.number(),
  target: resourceLimitSchema.optional(),
  sparsity: z.number(),
  keptUnits: z.array(z.int()),
  validationPerplexity: z.number(),
  finalPerplexity: z.number().nullable(),
  testPerplexity: z.number().nullable(),
  /** On the test split, null in results of older versions: sum of nll / ln 2 / UTF-8 bytes that the predicted tokens cover. */
  bitsPerByte: z.number().nullable().default(null),
  /** On the test split: KL(dense || policy) of next-token distributions, mean nats a predicted token. */
  klDivergence: z.number().nullable().default(null),
  /** On the test split: share of predicted tokens whose most probable token is the dense model's. */
  top1Agreement: z.number().nullable().default(null),
  uniform: z.object({
    keptUnits: z.array(z.int()),
    validationPerplexity: z.number().nullable(),
    testPerplexity: z.number().nullable(),
  }),
  /** The policy under each compensation, on the first windows of the test split, as many as an evaluation has. */
  compensations: z.array(z.object({ compensation: z.enum(compensations), testPerplexity: z.number() })),
  predicted: z.object({ perplexity: z.number(), low: z.number(), high: z.number() }).nullable(),
  /** The policy as a file, ready to be applied elsewhere. */
  policy: policyFileSchema,
})

export const searchResultSchema = z
  .object({
    dense: z.object({ validationPerplexity: z.number().nullable(), testPerplexity: z.number().nullable() }),
    evaluations: z.object({
      /** In full evaluations, as the budget counts them. */
      total: z.number(),
      /** How many were made on so many windows of the validation split; results of older searches have none. */
      byWindows: z.array(z.object({ windows: z.int(), evaluations: z.int() })).optional(),
      /** Those of earlier searches that it started from, which are in no other number. */
      earlier: z.int().optional(),
      /** Seconds of all evaluations on the validation split, and those of them spent on fitting weights. */
      seconds: z.number().nullable(),
      fitSeconds: z.number().nullable(),
    }),
    /** Importance metric and compensation of all policies; null: still being chosen. */
    method: chosenMethodSchema.nullable(),
    rounds: z.array(roundErrorSchema),
    targets: z.array(searchTargetResultSchema),
  })
  .meta({ id: 'SearchResult' })
export type SearchResultResource = z.infer<typeof searchResultSchema>

export const searchSchema = z
  .object({
    id: idSchema,
    name: z.string().nullable(),
    model: z.object({ id: idSchema, name: z.string() }),
    state: z.enum(searchStates),
    /** Why the search does not go on right now, in one sentence; null when it does or has ended. */
    waitReason: z.string().nullable(),
    settings: searchSettingsSchema,
    progress: searchProgressSchema.nullable(),
    /** Best measured policy of each target so far; the same order as `settings.targets`. */
    best: z.array(targetProgressSchema),
    /** Present as soon as there is something to report. */
    result: searchResultSchema.nullable(),
    error: recordedErrorSchema.nullable(),
    createdAt: timestampSchema,
    startedAt: timestampSchema.nullable(),
    finishedAt: timestampSchema.nullable(),
  })
  .meta({ id: 'Search' })
export type SearchResource = z.infer<typeof searchSchema>
export const searchPageSchema = pageSchema(searchSchema)

/** Query of `GET /v1/searches`. */
export const searchListQuerySchema = pageQuerySchema.extend({ order: z.enum(['oldest', 'newest']).default('oldest') })

/** `GET /v1/searches/:id`: also how many steps of each kind wait, run and are done. */
export const searchDetailSchema = searchSchema
  .extend({
    steps: z.array(
      z.object({
        kind: z.enum(stepKinds),
        pending: z.int(),
        running: z.int(),
        done: z.int(),
        failed: z.int(),
        cancelled: z.int(),
      }),
    ),
  })
  .meta({ id: 'SearchDetail' })
export type SearchDetailResource = z.infer<typeof searchDetailSchema>
