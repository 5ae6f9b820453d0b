/**
 * Products whose widths are multiples of a number, whatever the policy keeps: tensor cores have no remainder then, and
 * rows of a matrix start at aligned addresses. The kept channels are followed by repeats of the first of them; columns
 * of zeros in down_proj take the repeats out again, so every sum has the same terms, and zeros.
 */
import type { OnnxGraph } from '@espalier/tensor-files'
import { type ComputeType, castTo } from './compute-type.js'

export interface FilledChannels {
  /** int64 [kept + fill] */
  readonly channels: string
  /** int64 [1]: how many repeats there are. */
  readonly fill: string
}

/** @param kept int64 [kept], at least one */
export function addFilledChannels(graph: OnnxGraph, kept: string, multiple: number): FilledChannels {
  const count = graph.add('Shape', [kept])
  const missing = graph.add('Sub', [graph.int64([multiple]), graph.add('Mod', [count, graph.int64([multiple])])])
  const fill = graph.add('Mod', [missing, graph.int64([multiple])])
  const first = graph.add('Slice', [kept, graph.int64([0]), graph.int64([1])])
  const channels = graph.add('Concat', [kept, graph.add('Expand', [first, fill])], { axis: 0 })
  return { channels, fill }
}

/** [rows, kept] -> [rows, kept + fill] */
export function addZeroColumns(
  graph: OnnxGraph,
  { weight, fill, rows, type }: { weight: string; fill: string; rows: number; type: ComputeType },
): string {
  const zero = castTo(graph, graph.float(0), 'float', type)
  const shape = graph.add('Concat', [graph.int64([rows]), fill], { axis: 0 })
  return graph.add('Concat', [weight, graph.add('Expand', [zero, shape])], { axis: 1 })
}
