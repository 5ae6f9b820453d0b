/** A model that is open, with its texts as tokens and one calibration: what all searches of a benchmark share. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createEvaluator } from '@espalier/evaluator'
import { loadTokenizer, openModel } from '@espalier/model-graph'
import { createPrunableModel, rankModules } from '@espalier/pruning'
import { numbersOf } from './bench-options.mjs'
import { createMeasure } from './measure-policies.mjs'

const splits = ['calibration', 'validation', 'test']

export const textFilesOf = ({ texts, model }) =>
  Object.fromEntries(splits.map((split) => [split, join(texts ?? join(model, 'texts'), `${split}.txt`)]))

/**
 * @param options values of `benchOptions`
 * @param recorded what the calibration records beside sums: gram, which least squares needs; elimination, which obs needs
 */
export async function openBench(options, recorded) {
  const windowLength = Number(options.window)
  const { shape } = await openModel(options.model)
  const ids = await readTokens(options, windowLength)
  const evaluator = await createEvaluator({ modelDirectory: options.model })
  const calibration = await evaluator.calibrate({
    ids: ids.calibration,
    windowLength,
    windows: Number(options['calibration-windows']),
    ...recorded,
  })
  const prunable = createPrunableModel(shape)
  const rankingsBy = (metric) => rankModules(metric, calibration.modules, prunable)
  const windows = Object.fromEntries(splits.map((split) => [split, Math.floor(ids[split].length / windowLength)]))
  const measure = createMeasure({ options, ids, evaluator, calibration, rankingsBy })
  return { shape, prunable, calibration, rankingsBy, windows, measure, close: () => evaluator.close() }
}

/** Tokens of each split; `--most-windows` ends validation and test as if their texts were no longer. */
async function readTokens(options, windowLength) {
  const tokenizer = await loadTokenizer(options.model)
  const [validation, test] = options['most-windows'] ? numbersOf(options['most-windows']) : []
  const most = { calibration: undefined, validation, test }
  const ids = {}
  for (const [split, file] of Object.entries(textFilesOf(options))) {
    const all = await tokenizer.encode(readFileSync(file, 'utf8'))
    ids[split] = most[split] === undefined ? all : all.slice(0, most[split] * windowLength)
  }
  return ids
}
