/** What a search and its peers are run on, so that both are compared on the same: options of the command line. */
export const benchOptions = {
  model: { type: 'string', default: 'models/demo' },
  texts: { type: 'string' },
  budget: { type: 'string', default: '99' },
  targets: { type: 'string', default: '0.2,0.35,0.5' },
  window: { type: 'string', default: '256' },
  'calibration-windows': { type: 'string', default: '16' },
  'validation-windows': { type: 'string', default: '16' },
  'most-windows': { type: 'string' },
  // What the committed files of peers were measured under; a search chooses for itself with auto.
  metric: { type: 'string', default: 'wanda' },
  compensation: { type: 'string', default: 'mean' },
  cache: { type: 'string' },
  json: { type: 'boolean', default: false },
}

export const numbersOf = (list) => list.split(',').map(Number)
