/** What a search and its peers are run on, so that both are compared on the same: options of the command line. */
import { searchDefaults } from '@espalier/contracts'

export const benchOptions = {
  model: { type: 'string', default: 'models/demo' },
  texts: { type: 'string' },
  budget: { type: 'string', default: '99' },
  targets: { type: 'string', default: '0.2,0.35,0.5' },
  window: { type: 'string', default: '256' },
  'calibration-windows': { type: 'string', default: '16' },
  'validation-windows': { type: 'string', default: '16' },
  'most-windows': { type: 'string' },
  metric: { type: 'string', default: searchDefaults.metric },
  compensation: { type: 'string', default: searchDefaults.compensation },
  cache: { type: 'string' },
  json: { type: 'boolean', default: false },
}

export const numbersOf = (list) => list.split(',').map(Number)
