import { existsSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, parse } from 'node:path'
import { EspalierError, type ExecutionProvider } from '@espalier/contracts'
import { type HuggingFaceModel, type LocateWeight, locateInModel } from '@espalier/model-graph'
import { OnnxGraph } from '@espalier/tensor-files'
import { InferenceSession } from 'onnxruntime-node'

export interface SessionSettings {
  readonly threads: number
  readonly provider: ExecutionProvider
  /** Which CUDA device; default: 0. */
  readonly deviceId?: number
}

interface GraphSettings extends SessionSettings {
  /**
   * What ONNX Runtime may change of the graph: all; `basic`: fold constants, leave out copies; `disabled`: nothing, so
   * that it keeps no float copy of a weight.
   */
  readonly optimization?: 'all' | 'basic' | 'disabled'
}

/** ORT_LOGGING_LEVEL_ERROR */
const errorsOnly = 3

/** A session of a graph whose external data are named from the root of the file system (see `locateWeights`). */
export async function createSession(
  graph: Uint8Array | string,
  { threads, provider, deviceId = 0, optimization = 'all' }: GraphSettings,
): Promise<InferenceSession> {
  if (provider === 'cuda') await probeCuda(deviceId)
  const options: InferenceSession.SessionOptions = {
    executionProviders: provider === 'cuda' ? [{ name: 'cuda', deviceId }, 'cpu'] : ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: optimization,
    // Shapes vary with the policy: a plan of one run's memory is of no use to the next and is kept for ever.
    enableMemPattern: false,
    logSeverityLevel: errorsOnly,
  }
  if (typeof graph === 'string') return InferenceSession.create(graph, options)
  const root = parse(process.cwd()).root
  return InferenceSession.create(graph, {
    ...options,
    extra: {
      session: {
        model_external_initializers_file_folder_path: root,
        // Weights lie beside the arena, not in it: it then holds only what a run needs, and grows by that.
        use_device_allocator_for_initializers: provider === 'cuda' ? '1' : '0',
      },
    },
  })
}

/**
 * Names every weight file by its real path, relative to the root: ONNX Runtime refuses data outside the folder it
 * is given, and the files of a model may be links to anywhere (the cache of the Hugging Face hub).
 */
export async function locateWeights(model: HuggingFaceModel): Promise<LocateWeight> {
  const locations = new Map<string, string>()
  for (const file of model.weightFiles) {
    const real = await realpath(file)
    locations.set(file, real.slice(parse(real).root.length))
  }
  return (tensor) => {
    const data = locateInModel(tensor)
    return { ...data, location: locations.get(tensor.file) ?? data.location }
  }
}

/**
 * A one-node session tells whether CUDA works; that ONNX Runtime was compiled with it does not. Where its CUDA library
 * is not installed, none is tried: ONNX Runtime would print an error of its own.
 *
 * @throws EspalierError CONFIGURATION_INVALID
 */
export async function probeCuda(deviceId: number): Promise<void> {
  if (!existsSync(cudaLibrary)) throw noCuda(deviceId, `ONNX Runtime's CUDA library ${cudaLibrary} is not installed`)
  const graph = new OnnxGraph('probe')
  graph.addInput('x', 'float', [1])
  graph.addOutput(graph.add('Abs', ['x']), 'float', [1])
  try {
    const bytes = graph.encodeModel({ opset: 21, producer: 'espalier' })
    const session = await InferenceSession.create(bytes, {
      executionProviders: [{ name: 'cuda', deviceId }],
      logSeverityLevel: 4,
    })
    await session.release()
  } catch (cause) {
    throw noCuda(deviceId, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

/** Where the install script of onnxruntime-node puts it. */
const cudaLibrary = join(
  dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json')),
  ...['bin', 'napi-v6', process.platform, process.arch, 'libonnxruntime_providers_cuda.so'],
)

function noCuda(deviceId: number, reason: string, cause?: unknown): EspalierError {
  return new EspalierError(
    'CONFIGURATION_INVALID',
    `The provider cuda was asked for and cannot be used here: ${reason}. Use the provider cpu, or install ONNX Runtime's CUDA libraries on a machine with a CUDA device`,
    { provider: 'cuda', deviceId, reason },
    { cause },
  )
}
