import { weightPrecisions } from '@espalier/contracts'
import { Option } from 'commander'

/** How an evaluator keeps half-precision weights. */
export function createWeightsOption(): Option {
  const explanation = 'on a CPU: half-precision weights as stored, or all converted to fp32 once, at twice the memory'
  return new Option('--weights <precision>', explanation).choices(weightPrecisions).default('stored')
}
