import { z } from 'zod'
import { idSchema, pageSchema, plainTextSchema, timestampSchema } from './http-page.js'
import { modelShapeSchema } from './model-shape.js'
import { policyFileSchema } from './policy.js'

/** One path segment: letters, digits, dot, dash, underscore; never starts with a dot. */
const safeName = z
  .string()
  .regex(/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/, 'one path segment of letters, digits, . _ -, not starting with a dot')

/** `POST /v1/models`: a folder on the server, an upload made before, or a repository of the Hugging Face hub. */
export const createModelBodySchema = z
  .strictObject({
    path: plainTextSchema
      .min(1)
      .max(4096)
      .regex(/^(\/|[A-Za-z]:[\\/])/, 'an absolute path of a folder on the server')
      .optional()
      .meta({ description: 'Absolute path of a Hugging Face model folder on the server.' }),
    upload: safeName.optional().meta({ description: 'Name of an upload made with PUT /v1/uploads/{upload}/{file}.' }),
    source: plainTextSchema.min(1).max(2048).optional().meta({
      description:
        'Repository of the Hugging Face hub: `hf://org/name` or `hf://org/name@revision`. The revision is pinned to its commit; the first search downloads the weights.',
    }),
    name: plainTextSchema.min(1).max(200).optional(),
  })
  .refine(({ path, upload, source }) => [path, upload, source].filter((one) => one !== undefined).length === 1, {
    message: 'give exactly one of path, upload and source',
    path: ['path'],
  })
export type CreateModelBody = z.infer<typeof createModelBodySchema>

export const modelSchema = z
  .object({
    id: idSchema,
    name: z.string(),
    /** Folder on the server; null for a model that is downloaded. */
    path: z.string().nullable(),
    /** What is downloaded, as it was asked for; null for a folder. */
    source: z.string().nullable(),
    /** Commit that the source was pinned to. */
    revision: z.string().nullable(),
    /** Of a model that is downloaded by config.json alone, until a search has prepared it: biases are not counted. */
    shape: modelShapeSchema,
    prunableParameters: z.int(),
    /** SHA-256 of configuration and weights; null until a search has prepared the model. */
    hash: z.string().nullable(),
    createdAt: timestampSchema,
  })
  .meta({ id: 'Model' })
export type ModelResource = z.infer<typeof modelSchema>
export const modelPageSchema = pageSchema(modelSchema)

/** Files an upload may hold. */
export const uploadFileNameSchema = safeName.regex(
  /(\.safetensors|\.json|\.txt|^tokenizer\.model)$/,
  '*.safetensors, *.json, *.txt or tokenizer.model',
)
export const uploadParamsSchema = z.strictObject({ upload: safeName, file: uploadFileNameSchema })
export const uploadedFileSchema = z
  .object({ upload: z.string(), file: z.string(), bytes: z.int(), sha256: z.string() })
  .meta({ id: 'UploadedFile' })
export type UploadedFile = z.infer<typeof uploadedFileSchema>

/** `POST /v1/models/:id/policies/check` takes a policy file and answers what it would keep. */
export const checkPolicyBodySchema = policyFileSchema
export const checkedPolicySchema = z
  .object({
    sparsity: z.number(),
    keptParameters: z.int(),
    prunableParameters: z.int(),
    keptUnits: z.array(z.int()),
    /** Whether the policy names its model and that could be compared; false while the model has no hash. */
    modelHashChecked: z.boolean(),
  })
  .meta({ id: 'CheckedPolicy' })
export type CheckedPolicy = z.infer<typeof checkedPolicySchema>
