import { z } from 'zod'
import { idSchema } from './http-page.js'
import { policyFileSchema } from './policy.js'
import { sparsitySchema } from './policy-constraints.js'

/** Most policies of one request. */
export const generateLimit = 100

/** `POST /v1/searches/:id/policies:generate`: one sparsity, or several. */
export const generatePoliciesBodySchema = z
  .strictObject({
    sparsity: sparsitySchema.optional(),
    sparsities: z.array(sparsitySchema).min(1).max(generateLimit).optional(),
  })
  .refine((body) => (body.sparsity === undefined) !== (body.sparsities === undefined), {
    message: 'give exactly one of sparsity and sparsities',
    path: ['sparsity'],
  })
  .meta({ id: 'GeneratePolicies' })
export type GeneratePoliciesBody = z.infer<typeof generatePoliciesBodySchema>

export const generatedPolicySchema = z.object({
  /** As asked for. */
  sparsityTarget: z.number(),
  /** Reached: at most that, less than one channel under it. */
  sparsity: z.number(),
  policy: policyFileSchema,
  keptUnits: z.array(z.int()),
  /** On the validation windows of the search, with the 90 % interval; not measured. */
  predicted: z.object({ perplexity: z.number(), low: z.number(), high: z.number() }),
  parameters: z.int().meta({ description: 'Of the whole pruned model, biases of a compensation not counted.' }),
  bytes: z.int().meta({ description: 'Of these parameters, as the weights of the model are stored.' }),
  speedup: z.number().meta({
    description:
      'Floating-point operations of the dense model over those of the policy, for one window of the length the search evaluates, output head included; what a machine that is limited by matrix products gains.',
  }),
})
export type GeneratedPolicy = z.infer<typeof generatedPolicySchema>

export const generatedPoliciesSchema = z
  .object({
    search: idSchema,
    /** Round whose predictor and policy network gave the policies. */
    round: z.int(),
    /** Sparsities that may be asked for. */
    range: z.object({ least: z.number(), most: z.number() }),
    policies: z.array(generatedPolicySchema),
  })
  .meta({ id: 'GeneratedPolicies' })
export type GeneratedPoliciesResource = z.infer<typeof generatedPoliciesSchema>
