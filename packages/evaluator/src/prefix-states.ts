import { createHash } from 'node:crypto'
import type { KeptIndices } from '@espalier/pruning'
import type { Tensor } from 'onnxruntime-node'
import { usableMemoryBytes } from './gram-memory.js'

/** Share of the memory that states may take. */
const stateShare = 1 / 32

/** Where a policy can go on: the modules before were computed with another one. */
export interface ResumePoint {
  /** First module that is left to compute; 0: all. */
  readonly module: number
  /** State before it, one [B, T, hidden] a batch; of module 0 there is none. */
  readonly batches: readonly Tensor[]
}

const start: ResumePoint = { module: 0, batches: [] }

/**
 * The states of the policy measured last (`evaluationOutputs.state`) that later policies go on from. States are known
 * by everything that they follow from, so a policy can only find its own.
 */
export class PrefixStates {
  readonly #limitBytes: number
  #kept: ReadonlyMap<string, readonly Tensor[]> = new Map()

  /** @param limitBytes default: by the memory of this machine or container; 0: nothing is kept */
  constructor(limitBytes: number = usableMemoryBytes() * stateShare) {
    this.#limitBytes = limitBytes
  }

  /** The furthest point from which the policy with these prefixes can go on. */
  find(prefixes: readonly string[]): ResumePoint {
    for (let module = prefixes.length - 1; module > 0; module--) {
      const batches = this.#kept.get(prefixes[module] ?? '')
      if (batches !== undefined) return { module, batches }
    }
    return start
  }

  /**
   * The modules whose states are kept when later policies have so many first modules in common with this one. Where
   * not all fit into memory, the last ones: they save most, and policies in the order of their prefixes need them first.
   */
  choose(sharedModules: readonly number[], modules: number, stateBytes: number): number[] {
    const last = modules - 1
    const wanted = new Set(sharedModules.map((count) => Math.min(count, last)).filter((module) => module > 0))
    return [...wanted].sort((a, b) => b - a).slice(0, Math.floor(this.#limitBytes / stateBytes))
  }

  /** Keeps these states, by module, and of those kept before the ones of `chosen` modules; lets go of all others. */
  keep(prefixes: readonly string[], chosen: readonly number[], states: ReadonlyMap<number, readonly Tensor[]>): void {
    const kept = new Map<string, readonly Tensor[]>()
    for (const module of chosen) {
      const prefix = prefixes[module] ?? ''
      const batches = states.get(module) ?? this.#kept.get(prefix)
      if (batches !== undefined) kept.set(prefix, batches)
    }
    this.#kept = kept
  }
}

/** What states follow from beside the kept units. */
export interface PrefixOrigin {
  readonly ids: Int32Array
  readonly windowLength: number
  readonly batchWindows: number
  /** Says how output weights and biases are made. */
  readonly compensation: string
}

/** For every module, a name of all that the state before it follows from. */
export function namePrefixes(origin: PrefixOrigin, keptIndices: KeptIndices): string[] {
  const { ids, windowLength, batchWindows, compensation } = origin
  const hash = createHash('sha256')
    .update(JSON.stringify([windowLength, batchWindows, compensation]))
    .update(ids)
  return keptIndices.map((kept) => {
    const name = hash.copy().digest('base64')
    hash.update(Int32Array.of(kept.length)).update(Int32Array.from(kept))
    return name
  })
}
