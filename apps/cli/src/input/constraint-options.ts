import {
  latencyTableSchema,
  moduleKinds,
  type PolicyConstraints,
  type Resource,
  type ResourceLimit,
  resourceLimitSchema,
  resources,
  type SearchTarget,
  sparsitySchema,
  type UnitBound,
  wholeBlockDrops,
} from '@espalier/contracts'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { integerFrom } from './parse-options.js'
import { readJsonFile } from './read-json.js'

const tableName = 'a table of format espalier-latencies/1'

export interface ConstraintOptions {
  readonly freezeLayers?: readonly number[]
  readonly only?: PolicyConstraints['only']
  readonly keep?: readonly UnitBound[]
  readonly channelMultiple?: number
  readonly groupMultiple?: number
  readonly drop?: PolicyConstraints['wholeBlockDrop']
  readonly max?: readonly ResourceLimit[]
  readonly context?: number
  readonly latencies?: string
}

/** What the policies of a search must fulfil, as options of a command. */
export function addConstraintOptions(command: Command): Command {
  return command
    .option(
      '--max <limit>',
      `limit besides the target, RESOURCE=AMOUNT or =SHAREx, e.g. kv-bytes=0.5x (repeatable; ${resources.join(', ')})`,
      appendTo(parseLimit),
    )
    .option('--freeze-layers <list>', 'layers that stay whole, e.g. 0,30-31', parseLayers)
    .addOption(new Option('--only <kind>', 'prune only blocks of this kind').choices(moduleKinds))
    .option(
      '--keep <bound>',
      'units that blocks keep, KIND[LAYERS]=MIN..MAX, e.g. ffn[0-3]=256.. (repeatable)',
      appendTo(parseBound),
    )
    .option('--channel-multiple <count>', 'keep channels in multiples of this, e.g. 64', integerFrom(1, 65_536))
    .option('--group-multiple <count>', 'keep KV groups in multiples of this', integerFrom(1, 65_536))
    .addOption(
      new Option('--drop <blocks>', 'blocks that may be removed whole (default: attention)').choices(wholeBlockDrops),
    )
    .option(
      '--context <tokens>',
      'context for which FLOPs and latency count (default: 2048)',
      integerFrom(1, 10_000_000),
    )
    .option('--latencies <file>', 'times of the device the model is for (see measure-latency)')
}

/** @throws EspalierError LATENCIES_INVALID when the table of latencies cannot be read */
export async function createConstraints(options: ConstraintOptions): Promise<PolicyConstraints | undefined> {
  const { freezeLayers, only, keep, channelMultiple, groupMultiple, drop, max, context, latencies } = options
  const given: PolicyConstraints = {
    ...(freezeLayers && { freezeLayers: [...freezeLayers] }),
    ...(only && { only }),
    ...(keep && { bounds: [...keep] }),
    ...(channelMultiple !== undefined && { channelMultiple }),
    ...(groupMultiple !== undefined && { groupMultiple }),
    ...(drop && { wholeBlockDrop: drop }),
    ...(max && { limits: [...max] }),
    ...(context !== undefined && { contextLength: context }),
    ...(latencies !== undefined && {
      latencies: await readJsonFile(latencies, latencyTableSchema, tableName, 'LATENCIES_INVALID'),
    }),
  }
  return Object.keys(given).length > 0 ? given : undefined
}

/** `0.2,0.35` or `weight-bytes=6GB,latency=0.7x` -> targets. */
export function parseTargets(text: string): SearchTarget[] {
  return text.split(',').map((part) => {
    if (part.includes('=')) return parseLimit(part)
    const value = part.trim() === '' ? Number.NaN : Number(part)
    if (sparsitySchema.safeParse(value).success) return value
    throw new InvalidArgumentError(
      `"${part}" is not a target: a sparsity above 0 and below 1, e.g. 0.35, or RESOURCE=AMOUNT, e.g. weight-bytes=6GB.`,
    )
  })
}

/** `weight-bytes=6GB`, `kv-bytes=0.5x`. */
function parseLimit(text: string): ResourceLimit {
  const [name = '', amount = ''] = text.split('=').map((part) => part.trim())
  const resource = resources.find((known): known is Resource => known === name)
  if (!resource) throw new InvalidArgumentError(`"${name}" is no resource; there are ${resources.join(', ')}.`)
  const isShare = /^[\d.]+x$/.test(amount)
  const limit = isShare ? { resource, ratio: Number(amount.slice(0, -1)) } : { resource, atMost: amount }
  const parsed = resourceLimitSchema.safeParse(limit)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new InvalidArgumentError(
    isShare
      ? `"${amount}" is not a share above 0x and at most 1x.`
      : `"${amount}" ${issue?.message ?? 'is not an amount'}.`,
  )
}

/** `0,30-31` -> 0, 30, 31. */
function parseLayers(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const [, first = '', last = first] = /^\s*(\d{1,4})(?:-(\d{1,4}))?\s*$/.exec(part) ?? []
    if (first === '' || Number(last) < Number(first)) {
      throw new InvalidArgumentError(`"${part}" is no layer and no range of layers, e.g. 3 or 0-3.`)
    }
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index)
  })
}

/** `ffn[0-3]=256..400`, `attention=1..`. */
function parseBound(text: string): UnitBound {
  const match = /^(attention|ffn)(?:\[([\d,-]+)\])?=(\d{0,8})\.\.(\d{0,8})$/.exec(text.trim())
  const kind = moduleKinds.find((known) => known === match?.[1])
  const [minimum = '', maximum = ''] = [match?.[3], match?.[4]]
  if (!kind || (minimum === '' && maximum === '')) {
    throw new InvalidArgumentError(`"${text}" is no bound such as ffn[0-3]=256..400 or attention=1.. .`)
  }
  return {
    module: kind,
    ...(match?.[2] === undefined ? {} : { layers: parseLayers(match[2]) }),
    ...(minimum === '' ? {} : { minimum: Number(minimum) }),
    ...(maximum === '' ? {} : { maximum: Number(maximum) }),
  }
}

function appendTo<T>(parse: (text: string) => T): (text: string, before: readonly T[] | undefined) => readonly T[] {
  return (text, before) => [...(before ?? []), parse(text)]
}
