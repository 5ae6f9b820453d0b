import { z } from 'zod'

export const architectures = ['llama', 'mistral', 'qwen2', 'qwen3', 'phi3', 'gemma2', 'gemma3_text'] as const
export type Architecture = (typeof architectures)[number]

const count = z.int().positive()

/** The numbers of a model that everything but the graph itself needs. */
export const modelShapeSchema = z.object({
  architecture: z.enum(architectures),
  layers: count,
  hiddenSize: count,
  queryHeads: count,
  kvHeads: count,
  headDim: count,
  ffnChannels: count,
  vocabularySize: count,
  maxPositions: count,
  /** How many tokens attention sees in the layers where it sees least, its own included; null: no limit. */
  slidingWindow: count.nullable(),
  tiedEmbeddings: z.boolean(),
  /** Whether `config.json` of this architecture can say that o_proj / down_proj have biases. */
  attentionBiasConfigurable: z.boolean(),
  mlpBiasConfigurable: z.boolean(),
  /** All parameters, embeddings included, a tied matrix counted once. */
  parameters: count,
  /** Size of the weights as stored, bytes. */
  weightBytes: count,
})
export type ModelShape = z.infer<typeof modelShapeSchema>
