/**
 * What each compensation is worth, by importance metric and number of calibration windows: perplexity of the uniform
 * policy and of a random one at each target, on the validation split. Also what fitting weights costs: the first time
 * (factorisations), and for each policy after that.
 *
 *   npm run bench -- compensation --model models/demo [--windows 8,16,32,64] [--targets 0.2,0.35,0.5]
 *     [--metrics wanda,fluctuation] [--window 256] [--validation-windows 16] [--randoms 1] [--json]
 *     [--calibration FILE] [--validation FILE]
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createEvaluator } from '@espalier/evaluator'
import { loadTokenizer, openModel } from '@espalier/model-graph'
import {
  createPrunableModel,
  createRandomGenerator,
  randomPolicy,
  rankModules,
  selectKeptIndices,
  uniformPolicy,
} from '@espalier/pruning'

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/demo' },
    windows: { type: 'string', default: '8,16,32,64' },
    targets: { type: 'string', default: '0.2,0.35,0.5' },
    metrics: { type: 'string', default: 'wanda,fluctuation' },
    window: { type: 'string', default: '256' },
    'validation-windows': { type: 'string', default: '16' },
    randoms: { type: 'string', default: '1' },
    calibration: { type: 'string' },
    validation: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})

async function main() {
  const model = await openModel(options.model)
  const tokenizer = await loadTokenizer(options.model)
  const read = (split) => readFileSync(options[split] ?? join(options.model, 'texts', `${split}.txt`), 'utf8')
  const calibrationIds = await tokenizer.encode(read('calibration'))
  const ids = await tokenizer.encode(read('validation'))
  const { shape } = model
  const columns = Math.max(shape.ffnChannels, shape.queryHeads * shape.headDim)
  const prunable = createPrunableModel(shape)
  const policies = policiesOf(prunable)
  const windowLength = Number(options.window)
  const evaluator = await createEvaluator({ modelDirectory: options.model })
  const rows = []
  try {
    for (const windows of options.windows.split(',').map(Number)) {
      const elimination = options.metrics.split(',').includes('obs')
      const calibration = await evaluator.calibrate({
        ids: calibrationIds,
        windowLength,
        windows,
        gram: true,
        elimination,
      })
      for (const metric of options.metrics.split(',')) {
        const rankings = rankModules(metric, calibration.modules, prunable)
        for (const { name, keptUnits } of policies) {
          const measure = (compensation) =>
            evaluator.measure({
              ...{ keptIndices: selectKeptIndices(rankings, keptUnits), calibration, compensation, metric },
              ...{ ids, windowLength, windows: Number(options['validation-windows']) },
            })
          const none = await measure('none')
          const mean = await measure('mean')
          const fitted = await measure('least-squares')
          rows.push({
            ...{ windows, tokensPerColumn: (windows * windowLength) / columns, metric, policy: name },
            ...{ none: none.perplexity, mean: mean.perplexity, leastSquares: fitted.perplexity },
            ...{ meanSeconds: mean.seconds, fitSeconds: fitted.fitSeconds },
          })
          if (!options.json) printRow(rows.at(-1))
        }
      }
    }
  } finally {
    await evaluator.close()
  }
  if (options.json) console.log(JSON.stringify({ columns, rows }))
}

function policiesOf(prunable) {
  return options.targets
    .split(',')
    .map(Number)
    .flatMap((target) => [
      { name: `uniform ${target}`, keptUnits: uniformPolicy(prunable, target) },
      ...Array.from({ length: Number(options.randoms) }, (_, index) => ({
        name: `random ${target}`,
        keptUnits: randomPolicy(prunable, target, createRandomGenerator(1, 'compensation', index)),
      })),
    ])
}

function printRow({ windows, tokensPerColumn, metric, policy, none, mean, leastSquares, meanSeconds, fitSeconds }) {
  const perplexities = [none, mean, leastSquares].map((value) => value.toFixed(3)).join(' | ')
  const times = `${meanSeconds.toFixed(2)} s + ${fitSeconds.toFixed(2)} s`
  console.log(`| ${windows} | ${tokensPerColumn.toFixed(1)} | ${metric} | ${policy} | ${perplexities} | ${times} |`)
}

await main()
