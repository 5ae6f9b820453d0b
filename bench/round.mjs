/**
 * What a search costs beside its real evaluations. Evaluations are simulated; all else is what the service runs.
 *
 *   npm run bench -- round [--parts rounds,retraining,scoring,planning] [--shapes "8 layers,80 layers"] [--rounds 2]
 *     [--budget 240] [--seed 1] [--evaluations 1000,10000,100000] [--json]
 *
 * rounds: seconds of planning, training, proposing and scoring in each round, without and with constraints.
 * retraining: seconds of training the predictor on 240 evaluations.
 * scoring: from 10,000 policies that are stored to their scores stored, with an embedded Postgres; by a predictor that
 *   the worker has trained itself, and by one that it has to read.
 * planning: one plan of a search that has measured very many policies, and a look of the dispatcher at it when nothing has
 *   changed since, with an embedded Postgres.
 *
 * Seconds of rounds and retraining are processor time: all of it is the work of one thread.
 */
import { parseArgs } from 'node:util'
import { searchDefaults } from '@espalier/contracts'
import { planMany } from './round/plan-many.mjs'
import { retrain } from './round/retrain.mjs'
import { runRounds } from './round/run-rounds.mjs'
import { scoreBatches } from './round/score-batches.mjs'
import { shapes, typicalConstraints } from './round/shapes.mjs'
import { createSimulatedModel } from './round/simulated-model.mjs'
import { printTable } from './search/print-table.mjs'

const { values: options } = parseArgs({
  options: {
    parts: { type: 'string', default: 'rounds,retraining,scoring,planning' },
    shapes: { type: 'string', default: Object.keys(shapes).join() },
    rounds: { type: 'string', default: '2' },
    budget: { type: 'string', default: '240' },
    seed: { type: 'string', default: '1' },
    evaluations: { type: 'string', default: '1000,10000,100000' },
    json: { type: 'boolean', default: false },
  },
})

const RETRAINED_ON = 240
const POLICIES_A_BATCH = 10_000
const REPEATS = 5

const settingsOf = (constraints) => ({
  ...searchDefaults,
  metric: 'wanda',
  compensation: 'mean',
  budget: Number(options.budget),
  seed: Number(options.seed),
  transfer: 'none',
  texts: { calibration: 'simulated', validation: 'simulated', test: 'simulated' },
  exports: [],
  ...(constraints ? { constraints } : {}),
})

const parts = {
  async rounds(shape) {
    const simulated = createSimulatedModel(shape, 1)
    const rows = []
    for (const constraints of [undefined, typicalConstraints(shape)]) {
      const { rounds, evaluations } = await runRounds(simulated, settingsOf(constraints), Number(options.rounds))
      for (const [index, seconds] of rounds.entries()) {
        const total = Object.values(seconds).reduce((sum, value) => sum + value)
        const what = { constraints: constraints ? 'typical' : 'none', round: index + 1, evaluations }
        rows.push({ ...what, ...seconds, total })
      }
    }
    return rows
  },
  async retraining(shape) {
    return [retrain(createSimulatedModel(shape, 1), settingsOf(), RETRAINED_ON, REPEATS)]
  },
  async scoring(shape) {
    return scoreBatches(createSimulatedModel(shape, 1), settingsOf(), POLICIES_A_BATCH, REPEATS)
  },
  planning: (shape) => planMany(shape, settingsOf(), options.evaluations.split(',').map(Number)),
}

async function main() {
  const found = {}
  for (const part of options.parts.split(',')) {
    found[part] = []
    for (const name of options.shapes.split(',')) {
      const rows = await parts[part](shapes[name])
      found[part].push(...rows.map((row) => ({ model: name, ...row })))
    }
    if (options.json) continue
    console.log(part)
    printTable(found[part])
  }
  if (options.json) console.log(JSON.stringify(found))
}

await main()
