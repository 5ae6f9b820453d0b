import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { EspalierError, type Split, splits } from '@espalier/contracts'
import { readTokens } from '../input/read-tokens.js'

export interface ExperimentTexts {
  readonly ids: Readonly<Record<Split, Int32Array>>
  /** SHA-256 of the tokens. */
  readonly hashes: Readonly<Record<Split, string>>
}

/**
 * Tokens of the three texts of a folder: `<split>.txt`, or `<split>.json` with token ids.
 * @throws EspalierError TEXT_NOT_FOUND, TEXT_INVALID, MODEL_TOKENIZER_MISSING
 */
export async function readExperimentTexts(folder: string, modelDirectory: string): Promise<ExperimentTexts> {
  const read = async (split: Split): Promise<Int32Array> => {
    const [text, ids] = [join(folder, `${split}.txt`), join(folder, `${split}.json`)]
    if (existsSync(text)) return (await readTokens({ text }, modelDirectory, null)).ids
    if (existsSync(ids)) return (await readTokens({ ids }, modelDirectory, null)).ids
    const wanted = splits.map((name) => `${name}.txt`).join(', ')
    throw new EspalierError(
      'TEXT_NOT_FOUND',
      `${folder} has neither ${split}.txt nor ${split}.json: experiments need ${wanted}; give --texts DIR`,
      { folder, split },
    )
  }
  const [calibration, validation, test] = [await read('calibration'), await read('validation'), await read('test')]
  const hash = (ids: Int32Array) =>
    createHash('sha256')
      .update(Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength))
      .digest('hex')
  return {
    ids: { calibration, validation, test },
    hashes: { calibration: hash(calibration), validation: hash(validation), test: hash(test) },
  }
}
