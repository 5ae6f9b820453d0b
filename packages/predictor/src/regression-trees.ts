import type { RandomGenerator } from '@espalier/pruning'

/**
 * Gradient-boosted regression trees (Friedman 2001), squared error, grown level by level with exact splits.
 * Features are counts of kept units: whole numbers, so that a threshold between two of them is exact in any precision.
 */
export interface Forest {
  /** Roots of the trees, indices of nodes. */
  readonly roots: Int32Array
  /** Feature a node splits on; -1: a leaf. */
  readonly features: Int32Array
  /** Go to `left` when the feature is <= threshold. */
  readonly thresholds: Float64Array
  /** The right child is `left + 1`. */
  readonly left: Int32Array
  /** What a leaf adds, learning rate included. */
  readonly values: Float64Array
}

const DEPTH = 3
const LEARNING_RATE = 0.12
const MIN_LEAF = 3
/** Share of the samples and of the features a tree sees. */
const SAMPLE_SHARE = 0.8
const FEATURE_SHARE = 0.6
/** Features a tree sees of a model with many modules: a tree of depth 3 uses seven at most. */
const MAX_FEATURES = 32
/** Pulls leaves of few samples towards zero; counts as so many samples without residual. */
const LEAF_SHRINKAGE = 1

/** What tree `tree` adds for a policy. */
export function valueOfTree(forest: Forest, tree: number, kept: ArrayLike<number>): number {
  let node = forest.roots[tree] ?? 0
  let feature = forest.features[node] ?? -1
  while (feature >= 0) {
    const left = forest.left[node] ?? 0
    node = (kept[feature] ?? 0) <= (forest.thresholds[node] ?? 0) ? left : left + 1
    feature = forest.features[node] ?? -1
  }
  return forest.values[node] ?? 0
}

export function valueOfForest(forest: Forest, kept: ArrayLike<number>): number {
  let sum = 0
  for (let tree = 0; tree < forest.roots.length; tree++) sum += valueOfTree(forest, tree, kept)
  return sum
}

/** Boosts `trees` trees to `targets`, one a row of `rows`. */
export function growForest(
  rows: readonly (readonly number[])[],
  targets: Float64Array,
  trees: number,
  random: RandomGenerator,
): Forest {
  const columns = createColumns(rows)
  const residuals = Float64Array.from(targets)
  const featureShare = Math.min(FEATURE_SHARE, MAX_FEATURES / Math.max(columns.length, 1))
  const nodes: GrowingNode[] = []
  const roots: number[] = []
  for (let tree = 0; tree < trees; tree++) {
    roots.push(nodes.length)
    const inSample = Uint8Array.from(rows, () => (random.uniform() < SAMPLE_SHARE ? 1 : 0))
    const drawn = columns.filter(() => random.uniform() < featureShare)
    const leafOfRow = growTree(nodes, drawn.length > 0 ? drawn : columns, rows, residuals, inSample)
    for (const [row, leaf] of leafOfRow.entries()) residuals[row] = (residuals[row] ?? 0) - (nodes[leaf]?.value ?? 0)
  }
  return {
    roots: Int32Array.from(roots),
    features: Int32Array.from(nodes, ({ feature }) => feature),
    thresholds: Float64Array.from(nodes, ({ threshold }) => threshold),
    left: Int32Array.from(nodes, ({ left }) => left),
    values: Float64Array.from(nodes, ({ value }) => value),
  }
}

interface GrowingNode {
  feature: number
  threshold: number
  left: number
  readonly value: number
  /** Samples in the node and the sum of their residuals. */
  readonly count: number
  readonly sum: number
}

/** The rows in ascending order of one feature. */
interface Column {
  readonly feature: number
  readonly order: Int32Array
  readonly values: Float64Array
}

interface Split {
  readonly gain: number
  readonly feature: number
  readonly threshold: number
  readonly leftCount: number
  readonly leftSum: number
}

function createColumns(rows: readonly (readonly number[])[]): Column[] {
  const features = rows[0]?.length ?? 0
  return Array.from({ length: features }, (_, feature) => {
    const featureOf = (row: number) => rows[row]?.[feature] ?? 0
    const order = Int32Array.from(rows.keys()).sort((a, b) => featureOf(a) - featureOf(b) || a - b)
    return { feature, order, values: Float64Array.from(order, featureOf) }
  }).filter(({ values }) => values[0] !== values.at(-1))
}

function createLeaf(count: number, sum: number): GrowingNode {
  const value = (LEARNING_RATE * sum) / (count + LEAF_SHRINKAGE)
  return { feature: -1, threshold: 0, left: 0, value, count, sum }
}

/** Appends one tree to `nodes` and returns the leaf of every row, also of those it was not grown on. */
function growTree(
  nodes: GrowingNode[],
  columns: readonly Column[],
  rows: readonly (readonly number[])[],
  residuals: Float64Array,
  inSample: Uint8Array,
): Int32Array {
  const nodeOfRow = new Int32Array(rows.length).fill(nodes.length)
  let first = nodes.length
  nodes.push(
    createLeaf(
      inSample.reduce((sum, drawn) => sum + drawn, 0),
      residuals.reduce((sum, residual, row) => sum + residual * (inSample[row] ?? 0), 0),
    ),
  )
  for (let level = 0; level < DEPTH && first < nodes.length; level++) {
    const frontier = nodes.slice(first)
    const splits = findSplits(frontier, first, columns, residuals, inSample, nodeOfRow)
    const next = nodes.length
    for (const [slot, split] of splits.entries()) {
      const node = frontier[slot]
      if (!split || !node) continue
      Object.assign(node, { feature: split.feature, threshold: split.threshold, left: nodes.length })
      nodes.push(createLeaf(split.leftCount, split.leftSum))
      nodes.push(createLeaf(node.count - split.leftCount, node.sum - split.leftSum))
    }
    descend(nodes, rows, nodeOfRow)
    first = next
  }
  return nodeOfRow
}

function descend(nodes: readonly GrowingNode[], rows: readonly (readonly number[])[], nodeOfRow: Int32Array): void {
  for (const [row, at] of nodeOfRow.entries()) {
    const node = nodes[at]
    if (!node || node.feature < 0) continue
    nodeOfRow[row] = (rows[row]?.[node.feature] ?? 0) <= node.threshold ? node.left : node.left + 1
  }
}

/** Best split of every node of a level, in one pass over every column. */
function findSplits(
  frontier: readonly GrowingNode[],
  first: number,
  columns: readonly Column[],
  residuals: Float64Array,
  inSample: Uint8Array,
  nodeOfRow: Int32Array,
): (Split | undefined)[] {
  const best: (Split | undefined)[] = frontier.map(() => undefined)
  const counts = new Int32Array(frontier.length)
  const sums = new Float64Array(frontier.length)
  const lasts = new Float64Array(frontier.length)
  for (const { feature, order, values } of columns) {
    counts.fill(0)
    sums.fill(0)
    for (let k = 0; k < order.length; k++) {
      const row = order[k] ?? 0
      const slot = (nodeOfRow[row] ?? 0) - first
      const node = slot < 0 || inSample[row] === 0 ? undefined : frontier[slot]
      if (!node) continue
      const value = values[k] ?? 0
      const leftCount = counts[slot] ?? 0
      const last = lasts[slot] ?? 0
      if (leftCount >= MIN_LEAF && node.count - leftCount >= MIN_LEAF && value > last) {
        const leftSum = sums[slot] ?? 0
        const gain = gainOf(node, leftCount, leftSum)
        if (gain > (best[slot]?.gain ?? 1e-12)) {
          best[slot] = { gain, feature, threshold: (value + last) / 2, leftCount, leftSum }
        }
      }
      counts[slot] = leftCount + 1
      sums[slot] = (sums[slot] ?? 0) + (residuals[row] ?? 0)
      lasts[slot] = value
    }
  }
  return best
}

/** How much less squared error two leaves leave than one. */
function gainOf(node: GrowingNode, leftCount: number, leftSum: number): number {
  const right = (node.sum - leftSum) ** 2 / (node.count - leftCount + LEAF_SHRINKAGE)
  return leftSum ** 2 / (leftCount + LEAF_SHRINKAGE) + right - node.sum ** 2 / (node.count + LEAF_SHRINKAGE)
}
