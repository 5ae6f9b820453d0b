import { EspalierError, type ModelShape } from '@espalier/contracts'
import { type KeptIndices, packedLength } from '@espalier/pruning'
import type { CalibrationRecord, ScoredSequence, WindowedTokens } from './evaluator.js'

/**
 * Refuses windows that the ids cannot fill or that the model cannot hold.
 *
 * @throws EspalierError TEXT_TOO_SHORT, MODEL_WINDOW_TOO_LONG, REQUEST_INVALID, TOKEN_OUT_OF_RANGE
 */
export function checkWindows(
  { ids, windowLength, windows }: WindowedTokens,
  shape: Pick<ModelShape, 'maxPositions' | 'vocabularySize'>,
): void {
  checkCount('windowLength', windowLength, 2)
  checkCount('windows', windows, 1)
  const allowed = shape.maxPositions
  if (windowLength > allowed) throw tooLong(windowLength, allowed)
  const needed = windows * windowLength
  if (ids.length < needed) {
    throw new EspalierError(
      'TEXT_TOO_SHORT',
      `The text has ${ids.length} tokens; ${windows} windows of ${windowLength} need ${needed}`,
      { tokens: ids.length, windows, windowLength, needed },
    )
  }
  checkVocabulary(ids.subarray(0, needed), shape)
}

/**
 * Refuses rows that the model cannot hold.
 * @throws EspalierError MODEL_WINDOW_TOO_LONG, TOKEN_OUT_OF_RANGE
 */
export function checkTokens(
  ids: Int32Array,
  length: number,
  allowed: number,
  shape: Pick<ModelShape, 'vocabularySize'>,
): void {
  if (length > allowed) throw tooLong(length, allowed)
  checkVocabulary(ids, shape)
}

function checkVocabulary(ids: Int32Array, { vocabularySize }: Pick<ModelShape, 'vocabularySize'>): void {
  const bad = ids.findIndex((id) => id < 0 || id >= vocabularySize)
  if (bad < 0) return
  throw new EspalierError(
    'TOKEN_OUT_OF_RANGE',
    `Token ${ids[bad]} at position ${bad} is outside the model's vocabulary of ${vocabularySize}; is the tokenizer that of the model?`,
    { token: ids[bad], position: bad, vocabularySize },
  )
}

function tooLong(windowLength: number, allowed: number): EspalierError {
  return new EspalierError(
    'MODEL_WINDOW_TOO_LONG',
    `Windows of ${windowLength} tokens: max_position_embeddings allows ${allowed} at most`,
    { windowLength, allowed },
  )
}

/** @throws EspalierError POLICY_LAYER_COUNT, POLICY_UNIT_OUT_OF_RANGE, POLICY_INVALID */
export function checkKeptIndices(kept: KeptIndices, shape: ModelShape): void {
  if (kept.length !== 2 * shape.layers) {
    throw new EspalierError(
      'POLICY_LAYER_COUNT',
      `The policy has ${kept.length} modules; the model has ${shape.layers} layers, so ${2 * shape.layers} modules`,
      { modules: kept.length, expected: 2 * shape.layers },
    )
  }
  kept.forEach((indices, module) => {
    const units = module % 2 === 0 ? shape.kvHeads : shape.ffnChannels
    const place = `layer ${module >> 1}, ${module % 2 === 0 ? 'attention' : 'feed-forward'}`
    let previous = -1
    for (const index of indices) {
      if (!Number.isInteger(index) || index < 0 || index >= units) {
        throw new EspalierError(
          'POLICY_UNIT_OUT_OF_RANGE',
          `${place}: the policy keeps unit ${index}; units are 0 to ${units - 1}`,
          { module, index, units },
        )
      }
      if (index <= previous) {
        throw new EspalierError(
          'POLICY_INVALID',
          `${place}: unit ${index} comes after ${previous}; kept units must rise`,
          { module, index, previous },
        )
      }
      previous = index
    }
  })
}

/** @throws EspalierError POLICY_UNCALIBRATED when the record is not of a model of this shape */
export function checkCalibration(calibration: CalibrationRecord, shape: ModelShape): void {
  const { modules } = calibration
  const inputs = (module: number) => (module % 2 === 0 ? shape.queryHeads * shape.headDim : shape.ffnChannels)
  const fits = modules.every(
    ({ sum, outputMean }, index) => sum.length === inputs(index) && outputMean.length === shape.hiddenSize,
  )
  if (modules.length === 2 * shape.layers && fits) return
  throw new EspalierError(
    'POLICY_UNCALIBRATED',
    `The calibration record is of another model: ${modules.length} modules, expected ${2 * shape.layers}, or other widths`,
    { modules: modules.length, expected: 2 * shape.layers },
  )
}

/** @throws EspalierError POLICY_UNCALIBRATED when the record cannot serve least squares */
export function checkGram({ modules }: CalibrationRecord): void {
  if (modules.every(({ gram, sum }) => gram?.length === packedLength(sum.length))) return
  throw new EspalierError(
    'POLICY_UNCALIBRATED',
    'The calibration was recorded without Gram matrices, which the compensation "least-squares" needs: calibrate with them',
    { compensation: 'least-squares' },
  )
}

/** @throws EspalierError REQUEST_INVALID */
export function checkSequences(sequences: readonly ScoredSequence[]): void {
  checkCount('sequences', sequences.length, 1)
  for (const [index, { ids, scoredTokens }] of sequences.entries()) {
    if (Number.isInteger(scoredTokens) && scoredTokens >= 1 && scoredTokens < ids.length) continue
    const allowed = ids.length - 1
    throw new EspalierError(
      'REQUEST_INVALID',
      `Sequence ${index} of ${ids.length} tokens has ${scoredTokens} scored ones; 1 to ${allowed} are allowed`,
      { sequence: index, scoredTokens, allowed },
    )
  }
}

/** @throws EspalierError REQUEST_INVALID unless `value` is a whole number of `least` or more */
export function checkCount(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return
  throw new EspalierError('REQUEST_INVALID', `${name} is ${value}; it must be a whole number, ${least} or more`, {
    [name]: value,
  })
}
