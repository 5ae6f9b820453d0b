import { z } from 'zod'
import { findQuantity, resources, unitNamesOf } from './quantity.js'

export const moduleKinds = ['attention', 'ffn'] as const
export type ModuleKind = (typeof moduleKinds)[number]

/** Layers of a model from 0 on; no model has more. */
const layerSchema = z.int().min(0).max(9999)
const countSchema = z.int().min(0).max(10_000_000)
const multipleSchema = z.int().min(1).max(65_536)

/** At most so much of a resource: an amount, or a share of what the dense model has. */
export const resourceLimitSchema = z
  .strictObject({
    resource: z.enum(resources),
    atMost: z
      .union([z.number().positive(), z.string().max(40)])
      .optional()
      .meta({
        description: 'An amount, as a number in the base unit or with a unit: "6GB", "1.2B" parameters, "30ms".',
      }),
    ratio: z.number().gt(0).lte(1).optional().meta({ description: 'Share of the dense model.' }),
  })
  .superRefine((limit, context) => {
    if ((limit.atMost === undefined) === (limit.ratio === undefined)) {
      context.addIssue({ code: 'custom', message: 'give exactly one of atMost and ratio' })
    } else if (limit.atMost !== undefined && findQuantity(limit.resource, limit.atMost) === undefined) {
      const message = `must be a positive number, alone or with one of the units ${unitNamesOf(limit.resource)}`
      context.addIssue({ code: 'custom', message, path: ['atMost'] })
    }
  })
  .meta({ id: 'ResourceLimit' })
export type ResourceLimit = z.infer<typeof resourceLimitSchema>

/** Least and most units that modules keep, both included. */
const unitBoundSchema = z.strictObject({
  module: z.enum(moduleKinds),
  /** Without it: in every layer. */
  layers: z.array(layerSchema).min(1).max(1000).optional(),
  minimum: countSchema.optional(),
  maximum: countSchema.optional(),
})
export type UnitBound = z.infer<typeof unitBoundSchema>

/** Which blocks may be removed whole: none, attention blocks, or both, and with both a whole layer. */
export const wholeBlockDrops = ['none', 'attention', 'any'] as const

/** Seconds of a token in one block, by units kept; between two entries the time is interpolated. */
const blockLatencySchema = z
  .array(z.strictObject({ kept: countSchema, seconds: z.number().min(0) }))
  .min(2)
  .max(200)

/** Times of the parts of a model on a device, format `espalier-latencies/1`. */
export const latencyTableSchema = z
  .strictObject({
    format: z.literal('espalier-latencies/1'),
    /** Where it was measured. */
    device: z.string().max(200),
    contextLength: z.int().min(1),
    /** Ascending in `kept`, from 0 to all units. */
    attention: blockLatencySchema,
    ffn: blockLatencySchema,
    /** What no policy changes: the output head. */
    fixedSeconds: z.number().min(0),
  })
  .meta({ id: 'LatencyTable' })
export type LatencyTable = z.infer<typeof latencyTableSchema>

/** What every policy of a search must fulfil besides its target. */
export const policyConstraintsSchema = z
  .strictObject({
    /** Layers that stay whole. */
    freezeLayers: z.array(layerSchema).max(1000).optional(),
    /** Only blocks of this kind are pruned. */
    only: z.enum(moduleKinds).optional(),
    bounds: z.array(unitBoundSchema).max(1000).optional(),
    /** Kept channels of a feed-forward block are a multiple of it, or all. */
    channelMultiple: multipleSchema.optional(),
    /** The same for KV groups. */
    groupMultiple: multipleSchema.optional(),
    /** Without it: `attention`. */
    wholeBlockDrop: z.enum(wholeBlockDrops).optional(),
    /** Several at once, one a resource. */
    limits: z.array(resourceLimitSchema).max(16).optional(),
    /** Tokens in the context for which FLOPs and latency are counted; without it 2048, or as many as the model takes. */
    contextLength: z.int().min(1).max(10_000_000).optional(),
    /** Of the device that the pruned model is for; without it the evaluator measures itself, where a limit needs it. */
    latencies: latencyTableSchema.optional(),
  })
  .meta({ id: 'PolicyConstraints' })
export type PolicyConstraints = z.infer<typeof policyConstraintsSchema>

/** Sparsity a search may aim at: a share of the prunable parameters, both ends excluded. */
export const sparsitySchema = z.number().gt(0).lt(1)

/** What a search aims at: a sparsity, or a resource that is filled as far as the constraints allow. */
export const searchTargetSchema = z.union([sparsitySchema, resourceLimitSchema], {
  error: `must be a sparsity above 0 and below 1, or a limit of one of ${resources.join(', ')}`,
})
export type SearchTarget = z.infer<typeof searchTargetSchema>

/** Whether any policy is excluded that would be allowed without the constraints. */
export function hasConstraints(constraints: PolicyConstraints | undefined): constraints is PolicyConstraints {
  const { contextLength: _context, latencies: _latencies, ...rules } = constraints ?? {}
  return Object.values(rules).some((rule) => rule !== undefined && !(Array.isArray(rule) && rule.length === 0))
}

/** Whether targets or limits are about measured time. */
export function needsLatencies(settings: {
  readonly targets: readonly SearchTarget[]
  readonly constraints?: PolicyConstraints | undefined
}): boolean {
  const limits = [...settings.targets, ...(settings.constraints?.limits ?? [])]
  return limits.some((limit) => typeof limit !== 'number' && limit.resource === 'latency')
}

/** How lists and messages name a target: `35 %`, `weight-bytes <= 6GB`, `flops <= 0.5x`. */
export function nameOfTarget(target: SearchTarget): string {
  return typeof target === 'number' ? `${Number((100 * target).toPrecision(8))} %` : nameOfLimit(target)
}

export function nameOfLimit({ resource, atMost, ratio }: ResourceLimit): string {
  return `${resource} <= ${ratio === undefined ? atMost : `${ratio}x`}`
}
