import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import type { HuggingFaceModel } from './hugging-face-model.js'
import { configFileName } from './parse-model-config.js'

/**
 * SHA-256 of a model: `config.json`, then the weight files sorted by name, each preceded by its length in bytes,
 * so that no two models share a byte stream. Names, tokenizer and other files do not count.
 *
 * @returns 64 hexadecimal digits.
 * @throws EspalierError MODEL_UNREADABLE
 */
export async function hashModel(model: HuggingFaceModel): Promise<string> {
  const hash = createHash('sha256')
  for (const file of [join(model.directory, configFileName), ...model.weightFiles]) {
    try {
      hash.update(`${(await stat(file)).size}\n`)
      for await (const chunk of createReadStream(file, { highWaterMark: 2 ** 20 })) hash.update(chunk)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new EspalierError('MODEL_UNREADABLE', `${file} cannot be read: ${reason}`, { file }, { cause })
    }
  }
  return hash.digest('hex')
}
