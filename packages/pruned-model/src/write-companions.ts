import { createHash } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { companionFiles, type PolicyFile } from '@espalier/contracts'
import { findModelFile } from '@espalier/model-graph'
import { describePrunedModel, type PrunedFormat } from './describe-pruned-model.js'
import type { PrunedFile, PrunedModel, PruningRequest } from './pruning-request.js'

/** @throws EspalierError MODEL_UNREADABLE for a link out of the model's folder */
export async function copyCompanions(from: string, to: string): Promise<PrunedFile[]> {
  const copied: PrunedFile[] = []
  for (const name of companionFiles) {
    const file = await findModelFile(from, name)
    if (file !== null) copied.push(await writeBytes(to, name, await readFile(file)))
  }
  return copied
}

/** Writes a file that appears under its name only when it is whole. */
export async function writeBytes(directory: string, name: string, bytes: Uint8Array): Promise<PrunedFile> {
  const path = join(directory, name)
  await writeFile(`${path}.partial`, bytes)
  await rename(`${path}.partial`, path)
  return { name, bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') }
}

/** policy.json and README.md: what the folder holds, and what it is worth. */
export async function writeDescription(
  request: PruningRequest,
  format: PrunedFormat,
  written: Omit<PrunedModel, 'files'>,
): Promise<PrunedFile[]> {
  const { directory } = request
  const encode = (text: string) => new TextEncoder().encode(text)
  return [
    await writeBytes(directory, 'policy.json', encode(printPolicy(createExactPolicy(request, written)))),
    await writeBytes(directory, 'README.md', encode(describePrunedModel(request, format, written))),
  ]
}

/** The policy of the files: unit indices, not counts, so that nothing has to be ranked again. */
function createExactPolicy(request: PruningRequest, { compensationWritten }: Omit<PrunedModel, 'files'>): PolicyFile {
  const { keptIndices, metric, modelHash, model, compensation } = request
  return {
    format: 'espalier-policy/1',
    metric,
    compensation: compensationWritten ? compensation : 'none',
    modelHash,
    keep: model.layers.map((_, layer) => ({
      kvGroups: [...(keptIndices[2 * layer] ?? [])],
      ffnChannels: [...(keptIndices[2 * layer + 1] ?? [])],
    })),
  }
}

/** One line a layer. */
function printPolicy({ keep, ...rest }: PolicyFile): string {
  const head = JSON.stringify(rest, null, 2).slice(0, -2)
  return `${head},\n  "keep": [\n${keep.map((layer) => `    ${JSON.stringify(layer)}`).join(',\n')}\n  ]\n}\n`
}
