import { basename, join, resolve } from 'node:path'
import { EspalierError, type ModelShape } from '@espalier/contracts'
import { loadTokenizer, openModel } from '@espalier/model-graph'

export interface CheckedFolder {
  readonly path: string
  readonly name: string
  readonly shape: ModelShape
}

/** What names a folder: its path, or an upload. */
export interface NamedFolder {
  readonly path?: string | undefined
  readonly upload?: string | undefined
}

/**
 * Opens the model folder that a request names and checks all of it but the values of its weights.
 *
 * @param uploads folder of the team's uploads
 * @throws MODEL_* with file, tensor, expected and found
 */
export async function checkModelFolder(named: NamedFolder, uploads: string): Promise<CheckedFolder> {
  const { upload } = named
  const path = upload === undefined ? resolve(named.path ?? '') : join(uploads, upload)
  const { shape } = await openModel(path).catch((error: unknown) => {
    throw upload === undefined ? error : withoutServerPath(error, uploads)
  })
  await loadTokenizer(path)
  return { path, name: upload ?? basename(path), shape }
}

/** Uploads are named by their name: where the server keeps them is its own business. */
function withoutServerPath(error: unknown, uploads: string): unknown {
  if (!(error instanceof EspalierError)) return error
  const message = error.message.replaceAll(`${uploads}/`, '')
  const details: unknown = JSON.parse(JSON.stringify(error.details).replaceAll(`${uploads}/`, ''))
  return new EspalierError(error.code, message, { ...(typeof details === 'object' ? details : {}) })
}
