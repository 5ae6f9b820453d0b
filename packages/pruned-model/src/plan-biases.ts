import type { HuggingFaceModel, TensorLocation } from '@espalier/model-graph'
import { encodeFloats } from '@espalier/tensor-files'
import { type ModuleCompensation, planCompensation } from './plan-compensation.js'
import type { PruningRequest } from './pruning-request.js'

/** A bias to write: in place of one that the model has, or a new one. */
export interface PlannedBias {
  readonly name: string
  /** Weight file of the model that it goes with. */
  readonly file: string
  readonly dtype: TensorLocation['dtype']
  readonly length: number
  read(): Promise<Uint8Array>
}

export interface BiasPlan {
  readonly biases: readonly PlannedBias[]
  /** Flags of config.json that make a loader read them. */
  readonly flags: Readonly<Record<string, true>>
  /** Why compensation that was asked for cannot be written; null: it can, or was not asked for. */
  readonly note: string | null
}

/**
 * How compensation is written in Hugging Face format: as biases of o_proj and down_proj, where config.json of the
 * architecture can say that they exist. `attention_bias` and `mlp_bias` announce biases of every projection in every
 * layer, so the others are written as zeros.
 */
export function planBiases(request: PruningRequest): BiasPlan {
  const compensation = new Map(planCompensation(request).map((planned) => [planned.module, planned]))
  const isOfAttention = (module: number) => module % 2 === 0
  const attention = [...compensation.keys()].some(isOfAttention)
  const mlp = [...compensation.keys()].some((module) => !isOfAttention(module))
  const note = describeObstacle(request.model, attention, mlp)
  if (note !== null) return { biases: [], flags: {}, note }
  return {
    biases: request.model.layers.flatMap((_, layer) => [
      ...(attention ? planAttentionBiases(request.model, layer, compensation.get(2 * layer)) : []),
      ...(mlp ? planMlpBiases(request.model, layer, compensation.get(2 * layer + 1)) : []),
    ]),
    flags: { ...(attention ? { attention_bias: true } : {}), ...(mlp ? { mlp_bias: true } : {}) },
    note: null,
  }
}

function describeObstacle({ shape }: HuggingFaceModel, attention: boolean, mlp: boolean): string | null {
  const missing = [
    ...(attention && !shape.attentionBiasConfigurable ? ['o_proj'] : []),
    ...(mlp && !shape.mlpBiasConfigurable ? ['down_proj'] : []),
  ]
  if (missing.length === 0) return null
  return `config.json of ${shape.architecture} cannot say that ${missing.join(' and ')} have biases, so the files hold the policy without compensation`
}

function planAttentionBiases(model: HuggingFaceModel, layer: number, compensation?: ModuleCompensation): PlannedBias[] {
  const tensors = model.layers[layer]
  if (!tensors) return []
  const { q, qBias, k, kBias, v, vBias, o, oBias } = tensors
  return [
    ...planZeros(q, qBias),
    ...planZeros(k, kBias),
    ...planZeros(v, vBias),
    planOutputBias(model, o, oBias, compensation),
  ]
}

function planMlpBiases(model: HuggingFaceModel, layer: number, compensation?: ModuleCompensation): PlannedBias[] {
  const tensors = model.layers[layer]
  if (!tensors) return []
  const { gate, gateBias, up, upBias, down, downBias } = tensors
  return [...planZeros(gate, gateBias), ...planZeros(up, upBias), planOutputBias(model, down, downBias, compensation)]
}

const biasName = (weight: TensorLocation) => weight.name.replace(/weight$/, 'bias')

/** A bias of zeros for a projection that has none. */
function planZeros(weight: TensorLocation, present: TensorLocation | null): PlannedBias[] {
  if (present) return []
  const length = weight.shape[0] ?? 0
  const read = async () => encodeFloats(new Float32Array(length), weight.dtype)
  return [{ name: biasName(weight), file: weight.file, dtype: weight.dtype, length, read }]
}

/** The model's own bias, if it has one, plus the compensation, if there is one, in the precision of the model. */
function planOutputBias(
  model: HuggingFaceModel,
  weight: TensorLocation,
  present: TensorLocation | null,
  compensation: ModuleCompensation | undefined,
): PlannedBias {
  const { dtype, file } = present ?? weight
  const length = model.shape.hiddenSize
  const read = async () => {
    const own = present ? await model.readFloat32(present) : new Float32Array(length)
    const added = compensation ? await compensation.bias() : new Float32Array(length)
    return encodeFloats(
      own.map((value, i) => value + (added[i] ?? 0)),
      dtype,
    )
  }
  return { name: biasName(weight), file, dtype, length, read }
}
