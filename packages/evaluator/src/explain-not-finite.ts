import { basename } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import { type HuggingFaceModel, listTensors } from '@espalier/model-graph'
import { findNotFinite } from './run-windows.js'

/** Bytes of a weight that are looked at together. */
const chunkBytes = 16 * 2 ** 20

/**
 * The error of a number that is not finite, with its cause: the first weight, in the order of the computation, that
 * holds NaN or infinity. Opening a model reads headers only, so such weights show when the model is first run; only
 * then are all weights read here.
 *
 * @param what the number, where, and its value
 * @throws EspalierError MODEL_* when the weights cannot be read any more
 */
export async function explainNotFinite(model: HuggingFaceModel, what: string): Promise<EspalierError> {
  const expected = 'finite numbers'
  const place = await findNotFiniteWeight(model)
  if (place === null) {
    const cause = 'all weights are finite, so the activations overflow'
    return new EspalierError('EVALUATION_NOT_FINITE', `${what}; it must be finite (${cause})`, {
      expected,
      found: what,
    })
  }
  const { file, tensor, position, value } = place
  return new EspalierError(
    'EVALUATION_NOT_FINITE',
    `${what}: ${basename(file)}, tensor ${tensor}: expected ${expected}, found ${value} at position [${position}]`,
    { file, tensor, position, expected, found: String(value) },
  )
}

async function findNotFiniteWeight(model: HuggingFaceModel) {
  for (const tensor of listTensors(model)) {
    const elementBytes = tensor.dtype === 'F32' ? 4 : 2
    for (let done = 0; done < tensor.bytes; done += chunkBytes) {
      const bytes = Math.min(chunkBytes, tensor.bytes - done)
      const values = await model.readFloat32({ ...tensor, offset: tensor.offset + done, bytes })
      const bad = findNotFinite(values)
      if (bad === null) continue
      const position = unravel(done / elementBytes + bad, tensor.shape)
      return { file: tensor.file, tensor: tensor.name, position, value: values[bad] ?? Number.NaN }
    }
  }
  return null
}

/** Row-major index -> one index a dimension. */
function unravel(index: number, shape: readonly number[]): number[] {
  return shape.reduceRight<{ rest: number; position: number[] }>(
    ({ rest, position }, length) => ({
      rest: Math.floor(rest / length),
      position: [rest % length, ...position],
    }),
    { rest: index, position: [] },
  ).position
}
