import type { ProposeResult, ScoreResult, StepKind } from '@espalier/contracts'

/**
 * Results of `propose` and `score` as their rows hold them: the numbers of all policies of a target in one string,
 * base64 of little-endian numbers. A batch may have thousands of policies; as arrays of arrays Postgres and this process
 * would spend most of the time of a score on their digits. Rows of older versions hold the arrays and are read as well.
 */
interface PackedProposals extends Omit<ProposeResult, 'targets'> {
  readonly targets: readonly {
    /** What there is of each policy beside its kept units. */
    readonly policies: readonly Omit<ProposedPolicy, 'keptUnits'>[]
    readonly keptUnits: PackedTable
  }[]
}

interface PackedScores extends Omit<ScoreResult, 'targets'> {
  /** Columns: log-perplexity, low, high. */
  readonly targets: readonly { readonly scores: PackedTable }[]
}

/** Rows of the same length, one after the other. */
interface PackedTable {
  readonly type: keyof typeof numberTypes
  readonly columns: number
  readonly data: string
}

type ProposedPolicy = ProposeResult['targets'][number]['policies'][number]

const numberTypes = { uint16: Uint16Array, int32: Int32Array, float64: Float64Array }
const MOST_UINT16 = 0xffff

/** For a result that is about to be written; of other kinds it stays what it is. */
export function packResult(kind: StepKind, result: unknown): unknown {
  if (kind === 'propose') return packProposals(result as ProposeResult)
  if (kind === 'score') return packScores(result as ScoreResult)
  return result
}

/** For a result as its row holds it, null included. */
export function unpackResult(kind: StepKind, stored: unknown): unknown {
  if (stored === null) return null
  if (kind === 'propose') return unpackProposals(stored as ProposeResult | PackedProposals)
  if (kind === 'score') return unpackScores(stored as ScoreResult | PackedScores)
  return stored
}

function packProposals({ targets, ...rest }: ProposeResult): PackedProposals {
  return {
    ...rest,
    targets: targets.map(({ policies }) => ({
      policies: policies.map(({ keptUnits: _, ...policy }) => policy),
      keptUnits: packUnits(policies.map(({ keptUnits }) => keptUnits)),
    })),
  }
}

function unpackProposals({ targets, ...rest }: ProposeResult | PackedProposals): ProposeResult {
  return {
    ...rest,
    targets: targets.map((target) => {
      if (!('keptUnits' in target)) return target
      const rows = unpackTable(target.keptUnits)
      return { policies: target.policies.map((policy, index) => ({ keptUnits: rows[index] ?? [], ...policy })) }
    }),
  }
}

function packScores({ targets, ...rest }: ScoreResult): PackedScores {
  const rowsOf = ({ scores }: ScoreResult['targets'][number]) =>
    scores.map(({ logPerplexity, low, high }) => [logPerplexity, low, high])
  return { ...rest, targets: targets.map((target) => ({ scores: packTable('float64', rowsOf(target)) })) }
}

function unpackScores({ targets, ...rest }: ScoreResult | PackedScores): ScoreResult {
  return {
    ...rest,
    targets: targets.map(({ scores }) => {
      if (!('data' in scores)) return { scores }
      const rows = unpackTable(scores)
      return { scores: rows.map(([logPerplexity = 0, low = 0, high = 0]) => ({ logPerplexity, low, high })) }
    }),
  }
}

function packUnits(rows: readonly (readonly number[])[]): PackedTable {
  const isShort = rows.every((row) => row.every((count) => count <= MOST_UINT16))
  return packTable(isShort ? 'uint16' : 'int32', rows)
}

function packTable(type: PackedTable['type'], rows: readonly (readonly number[])[]): PackedTable {
  const columns = rows[0]?.length ?? 0
  const values = new numberTypes[type](rows.length * columns)
  for (const [index, row] of rows.entries()) values.set(row, index * columns)
  return { type, columns, data: Buffer.from(values.buffer).toString('base64') }
}

function unpackTable({ type, columns, data }: PackedTable): number[][] {
  const { buffer } = Uint8Array.from(Buffer.from(data, 'base64'))
  const values = new numberTypes[type](buffer)
  const rows: number[][] = []
  for (let start = 0; start < values.length; start += columns) {
    // Array.from takes several times as long.
    const row = new Array<number>(columns)
    for (let column = 0; column < columns; column++) row[column] = values[start + column] ?? 0
    rows.push(row)
  }
  return rows
}
