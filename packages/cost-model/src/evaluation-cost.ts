/**
 * What an evaluation costs, from the shape of a model alone.
 *
 *   FLOPs a token   = sum over layers of  2 hidden (2 q + 2 k) + 4 q (T + 1) / 2      attention with q = rep k channels
 *                                       + 6 hidden c                                  feed-forward with c channels
 *   FLOPs a window  = T x that + (T - 1) x 2 hidden vocabulary                        logits of predicted positions
 *   bytes           = weights as kept + workspace of the widest stage + the runtime's own
 *
 * q, k and c are what the policy keeps. Norms, softmax, rotation and conversions are not counted: under 1 %.
 */
import type { KeptUnits, ModelShape, WeightPrecision } from '@espalier/contracts'

export interface Windows {
  /** Tokens a window, T. */
  readonly windowLength: number
  readonly windows: number
}

/** Floating-point operations (a multiplication and an addition are two) that a policy needs. */
export function countEvaluationFlops(shape: ModelShape, kept: KeptUnits, { windowLength, windows }: Windows): number {
  const { hiddenSize, vocabularySize, kvHeads, queryHeads, headDim } = shape
  const perToken = kept.reduce((sum, units, module) => {
    if (module % 2 === 1) return sum + 6 * hiddenSize * units
    const keys = units * headDim
    const queries = (keys * queryHeads) / kvHeads
    return sum + 2 * hiddenSize * (2 * queries + 2 * keys) + 4 * queries * ((windowLength + 1) / 2)
  }, 0)
  return windows * (windowLength * perToken + (windowLength - 1) * 2 * hiddenSize * vocabularySize)
}

/** How the graph is run. */
export interface RunSettings {
  readonly windowLength: number
  /** Tokens of one run of the graph. */
  readonly tokensPerRun: number
  /** Bytes of a number in products: 4 on a CPU, 2 on a GPU with 16-bit weights. */
  readonly computeBytes: 2 | 4
  /** Bytes of a weight as stored. */
  readonly storedBytes: 2 | 4
  /** How weights are kept. */
  readonly weights: WeightPrecision
  /** What the process and its runtime take before any model. */
  readonly runtimeBytes: number
}

export interface MemoryEstimate {
  readonly weightBytes: number
  /** Gathered weights, activations and logits of the stage that needs most. */
  readonly workspaceBytes: number
  readonly runtimeBytes: number
  readonly totalBytes: number
}

/** Logits that exist at a time, and blocks of queries that attention is computed in (see model-graph). */
const maxLogits = 2 ** 22
/** Values of the size of the logits that a comparison with the dense model holds beside each other, at most. */
const valuesPerLogit = 7
const queryBlocks = 8
const floatBytes = 4

/** Bytes of a weight while a session lives: `fp32` converts all of them, where products are float, and lets go of the file. */
function keptBytesOf({ weights, computeBytes, storedBytes }: RunSettings): 2 | 4 {
  return weights === 'fp32' && computeBytes === floatBytes ? floatBytes : storedBytes
}

/** Memory of an evaluator with one copy of the weights, dense policy. */
export function estimateMemory(shape: ModelShape, run: RunSettings): MemoryEstimate {
  const { hiddenSize: hidden, ffnChannels: channels, queryHeads, kvHeads, headDim, vocabularySize } = shape
  const windows = Math.max(1, Math.round(run.tokensPerRun / run.windowLength))
  const tokens = windows * run.windowLength
  const keptBytes = keptBytesOf(run)
  /** A kept part of a weight is gathered, then converted. */
  const gathered = keptBytes + (keptBytes === run.computeBytes ? 0 : run.computeBytes)
  const projected = (queryHeads + 2 * kvHeads) * headDim
  // Scores and their softmax of one block of queries, in float.
  const scores = windows * queryHeads * (run.windowLength / queryBlocks) * run.windowLength * 2 * floatBytes
  const attention =
    2 * tokens * projected * run.computeBytes + scores + (projected + queryHeads * headDim) * hidden * gathered
  const feedForward = 3 * tokens * channels * run.computeBytes + 3 * channels * hidden * gathered
  // The likelihood is computed in float, over pieces of the vocabulary; of the output head one piece is converted, the
  // largest for a run of one window: so a larger run never counts as needing less.
  const pieces = Math.min(vocabularySize, Math.ceil((run.windowLength * vocabularySize) / maxLogits))
  const columns = Math.ceil(vocabularySize / pieces)
  const headPiece = columns * hidden * (keptBytes + (keptBytes === floatBytes ? 0 : floatBytes))
  const logits = Math.min(tokens * vocabularySize, Math.max(maxLogits, tokens))
  const likelihood = (valuesPerLogit * logits + 2 * tokens * hidden) * floatBytes + headPiece
  const residual = 3 * tokens * hidden * run.computeBytes
  const parts = {
    weightBytes: keptBytes === run.storedBytes ? shape.weightBytes : keptBytes * shape.parameters,
    workspaceBytes: residual + Math.max(attention, feedForward, likelihood),
    runtimeBytes: run.runtimeBytes,
  }
  return { ...parts, totalBytes: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) }
}
