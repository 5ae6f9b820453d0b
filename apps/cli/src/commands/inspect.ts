import { stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { type HuggingFaceModel, listTensors, openModel } from '@espalier/model-graph'
import { createPrunableModel } from '@espalier/pruning'
import { Command } from 'commander'
import { fetchModel, modelArgument } from '../input/fetch-sources.js'
import { runInterruptible } from '../input/interruption.js'
import { formatBytes, formatCount, formatPercent } from '../output/format-values.js'
import type { Terminal } from '../output/terminal.js'

/** `espalier inspect`: what a model is made of and what of it can be pruned. */
export function createInspectCommand(terminal: Terminal): Command {
  return new Command('inspect')
    .summary('show what a model is made of and what can be pruned')
    .description('Opens a model folder, checks every tensor, and shows its modules and units. Needs no server.')
    .argument('<model>', modelArgument)
    .option('--json', 'print one JSON object')
    .action(async (model: string, options: { json?: true }) => {
      const directory = await runInterruptible((signal) => fetchModel(model, terminal, signal))
      const description = await describeModel(await openModel(directory))
      terminal.print(options.json ? JSON.stringify(description) : renderDescription(description))
    })
}

type ModelDescription = Awaited<ReturnType<typeof describeModel>>

async function describeModel(model: HuggingFaceModel) {
  const prunable = createPrunableModel(model.shape)
  const { parameters, weightBytes, ...shape } = model.shape
  return {
    directory: model.directory,
    ...shape,
    parameters,
    prunableParameters: prunable.prunableParameters,
    units: prunable.modules.reduce((sum, module) => sum + module.units, 0),
    modules: prunable.modules.map(({ layer, kind, units, parametersPerUnit }) => ({
      ...{ layer, kind, units, parametersPerUnit },
    })),
    weightBytes,
    dtypes: countDtypes(model),
    files: await Promise.all(
      model.weightFiles.map(async (file) => ({ name: basename(file), bytes: (await stat(file)).size })),
    ),
  }
}

/** Tensors of each type. */
function countDtypes(model: HuggingFaceModel): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { dtype } of listTensors(model)) counts[dtype] = (counts[dtype] ?? 0) + 1
  return counts
}

function renderDescription(model: ModelDescription): string {
  const [attention, ffn] = model.modules
  const share = formatPercent(model.prunableParameters / model.parameters)
  const dtypes = Object.entries(model.dtypes).map(([dtype, count]) => `${count} x ${dtype}`)
  const heads = `${model.queryHeads} query heads in ${model.kvHeads} KV groups of ${model.headDim}`
  const lines: [string, string][] = [
    ['model', model.directory],
    ['architecture', `${model.architecture}, ${model.layers} layers, hidden size ${model.hiddenSize}`],
    ['attention', `${heads}, ${model.attentionBiasConfigurable ? 'biases configurable' : 'biases fixed'}`],
    ['vocabulary', `${model.vocabularySize}${model.tiedEmbeddings ? ', output head tied to the embedding' : ''}`],
    [
      'context',
      `${model.maxPositions} tokens${model.slidingWindow === null ? '' : `, attention window ${model.slidingWindow}`}`,
    ],
    ['parameters', `${formatCount(model.parameters)}, prunable ${formatCount(model.prunableParameters)} (${share})`],
    ['modules', `${model.modules.length}, ${model.units} units`],
    ['  attention', `${attention?.units} units a layer, ${attention?.parametersPerUnit} parameters each`],
    ['  feed-forward', `${ffn?.units} units a layer, ${ffn?.parametersPerUnit} parameters each`],
    ['weights', `${formatBytes(model.weightBytes)}, tensors ${dtypes.join(', ')}`],
    ...model.files.map((file): [string, string] => ['  file', `${file.name}, ${formatBytes(file.bytes)}`]),
  ]
  return lines.map(([name, value]) => `${name.padEnd(14)}  ${value}`).join('\n')
}
