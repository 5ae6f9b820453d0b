import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type ArtifactResource, EspalierError } from '@espalier/contracts'
import type { ApiClient } from './api-client.js'

/**
 * Folder of a pruned model below the folder that the user named: `sparsity-35/onnx`.
 * @param target e.g. 0.35 -> `sparsity-35`, 0.125 -> `sparsity-12.5`
 */
export function artifactFolder(out: string, { sparsityTarget, target, targetIndex, format }: ArtifactResource): string {
  const name = target
    ? `${target.resource}-${targetIndex}`
    : `sparsity-${Number((100 * (sparsityTarget ?? 0)).toPrecision(8))}`
  return join(resolve(out), name, format)
}

/** Writes the files of pruned models below `out`, each checked against its SHA-256. */
export async function downloadArtifacts(
  client: ApiClient,
  artifacts: readonly ArtifactResource[],
  out: string,
  signal: AbortSignal,
): Promise<void> {
  for (const artifact of artifacts) {
    const folder = artifactFolder(out, artifact)
    await mkdir(folder, { recursive: true })
    for (const file of artifact.files) {
      if (basename(file.name) !== file.name || file.name.startsWith('..')) {
        throw new EspalierError('INTERNAL', `The service names a file "${file.name}", which is not a plain name`)
      }
      await downloadFile(client, file, join(folder, file.name), signal)
    }
  }
}

async function downloadFile(
  client: ApiClient,
  { url, sha256 }: ArtifactResource['files'][number],
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const response = await client.open(url, {}, signal)
  const unfinished = `${target}.part`
  const hash = createHash('sha256')
  try {
    await pipeline(
      Readable.fromWeb(response.body ?? new ReadableStream()),
      async function* (chunks: AsyncIterable<Uint8Array>) {
        for await (const chunk of chunks) {
          hash.update(chunk)
          yield chunk
        }
      },
      createWriteStream(unfinished),
      { signal },
    )
    const found = hash.digest('hex')
    if (found !== sha256) {
      throw new EspalierError('INTERNAL', `${target} came with SHA-256 ${found}; it must be ${sha256}: try again`)
    }
    await rename(unfinished, target)
  } finally {
    await rm(unfinished, { force: true })
  }
}
