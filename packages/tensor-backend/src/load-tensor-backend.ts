import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import type * as TensorFlow from '@tensorflow/tfjs-core'

export type Tensors = typeof TensorFlow
export type Tensor = TensorFlow.Tensor
export type Tensor4D = TensorFlow.Tensor4D
export type Rank4 = TensorFlow.Rank.R4
export type Variable = TensorFlow.Variable

export interface TensorBackend {
  readonly tf: Tensors
  /** What computes: `tensorflow` (native, CUDA where the machine has it), `wasm` or `cpu`. */
  readonly name: string
}

/** Optional: its install script downloads libtensorflow, so it is not among the dependencies. */
const NATIVE_PACKAGE = '@tensorflow/tfjs-node-gpu'

/** TensorFlow.js keeps one engine a process, so the choice is made once. */
let chosen: Promise<TensorBackend> | undefined

/**
 * TensorFlow.js with the best backend that works here: native if installed, else WebAssembly, else plain JavaScript.
 * Only the core and the backends are loaded (0.1 s; the whole package takes 0.2 to 0.5 s).
 */
export function loadTensorBackend(): Promise<TensorBackend> {
  chosen ??= chooseBackend()
  return chosen
}

/** Name of the backend that trains policy networks in this process; loads it. */
export async function tensorBackendName(): Promise<string> {
  return (await loadTensorBackend()).name
}

async function chooseBackend(): Promise<TensorBackend> {
  const tf = await import('@tensorflow/tfjs-core')
  tf.enableProdMode()
  for (const [name, register] of [
    ['tensorflow', registerNative],
    ['wasm', registerWasm],
  ] as const) {
    if ((await succeeds(register)) && (await succeeds(() => activate(tf, name)))) return { tf, name }
  }
  await import('@tensorflow/tfjs-backend-cpu')
  await activate(tf, 'cpu')
  return { tf, name: 'cpu' }
}

async function registerNative(): Promise<void> {
  await import(NATIVE_PACKAGE)
}

async function registerWasm(): Promise<void> {
  const wasm = await import('@tensorflow/tfjs-backend-wasm')
  const entry = createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm')
  wasm.setWasmPaths(`${dirname(entry)}/`)
  // One thread: sums in one order, so the same seed gives the same weights.
  wasm.setThreadsCount(1)
}

async function activate(tf: Tensors, name: string): Promise<void> {
  if (!(await tf.setBackend(name))) throw new Error(`The TensorFlow.js backend ${name} did not start`)
  await tf.ready()
}

async function succeeds(attempt: () => Promise<void>): Promise<boolean> {
  try {
    await attempt()
    return true
  } catch {
    return false
  }
}
