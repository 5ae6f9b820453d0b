import { EspalierError } from '@espalier/contracts'
import {
  type Float64Source,
  openSafetensors,
  readFloat64Range,
  type SafetensorsEntry,
  type SafetensorsFile,
  writeSafetensors,
} from '@espalier/tensor-files'
import type { CalibrationRecord, ModuleCalibration } from './evaluator.js'
import { gramBytesInMemory } from './gram-memory.js'

const format = 'espalier-calibration/1'
const fields = ['sum', 'sumOfSquares', 'columnAbsoluteMean', 'columnSquareSum', 'outputMean'] as const
type Field = (typeof fields)[number]
/** Those that not every calibration has. */
const gramField = 'gram'
const eliminationField = 'eliminationErrors'

const nameOf = (module: number, field: Field | typeof gramField | typeof eliminationField) =>
  `modules.${module}.${field}`

/** Writes a record as one safetensors file of F64 tensors; what it was made from stands in the metadata. */
export async function writeCalibration(path: string, record: CalibrationRecord): Promise<void> {
  const entries = record.modules.flatMap((module, index) => {
    const tensors = [...fields, eliminationField, gramField] as const
    return tensors.flatMap((field): SafetensorsEntry[] => {
      const values = module[field]
      if (!values) return []
      const read = () => bytesOf(values)
      return [{ name: nameOf(index, field), dtype: 'F64', shape: [values.length], read }]
    })
  })
  await writeSafetensors(path, entries, {
    format,
    modules: String(record.modules.length),
    windows: String(record.windows),
    windowLength: String(record.windowLength),
  })
}

/** Numbers read at a time from a file. */
const chunkNumbers = 2 ** 21

async function* bytesOf(values: Float64Source): AsyncGenerator<Uint8Array> {
  for (let first = 0; first < values.length || first === 0; first += chunkNumbers) {
    const part = await readFloat64Range(values, first, Math.min(values.length, first + chunkNumbers))
    yield new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
  }
}

/**
 * Gram matrices are read into memory if all fit into `gramMemoryBytes` (default: a share of this machine's), else they
 * stay in the file.
 *
 * @throws EspalierError MODEL_FILE_INVALID and what `openSafetensors` throws
 */
export async function readCalibration(
  path: string,
  gramMemoryBytes: number = gramBytesInMemory(),
): Promise<CalibrationRecord> {
  const file = await openSafetensors(path)
  try {
    if (file.metadata.format !== format) {
      throw new EspalierError(
        'MODEL_FILE_INVALID',
        `${path}: the format is ${file.metadata.format ?? 'not given'}; expected ${format}`,
        { file: path, expected: format, found: file.metadata.format ?? null },
      )
    }
    const windows = readCount(file, 'windows')
    const windowLength = readCount(file, 'windowLength')
    const modules: ModuleCalibration[] = []
    const gramTensors = [...file.tensors.values()].filter(({ name }) => name.endsWith(`.${gramField}`))
    const inMemory = gramTensors.reduce((sum, { bytes }) => sum + bytes, 0) <= gramMemoryBytes
    const readGram = async (module: number): Promise<Float64Source | null> => {
      const tensor = file.tensors.get(nameOf(module, gramField))
      if (tensor === undefined) return null
      const values = Float64Array.BYTES_PER_ELEMENT
      if (!inMemory) return { path, offset: tensor.offset, length: tensor.bytes / values }
      return share(await file.readFloat64(tensor.name))
    }
    for (let module = 0; module < readCount(file, 'modules'); module++) {
      const read = (field: Field) => file.readFloat64(nameOf(module, field))
      modules.push({
        count: windows * windowLength,
        sum: await read('sum'),
        sumOfSquares: await read('sumOfSquares'),
        columnAbsoluteMean: await read('columnAbsoluteMean'),
        columnSquareSum: await read('columnSquareSum'),
        outputMean: await read('outputMean'),
        ...(file.tensors.has(nameOf(module, eliminationField))
          ? { eliminationErrors: await file.readFloat64(nameOf(module, eliminationField)) }
          : {}),
        gram: await readGram(module),
      })
    }
    return { modules, windows, windowLength }
  } finally {
    await file.close()
  }
}

/** Zeros in memory that another thread is given without a copy. */
export function createSharedFloat64(length: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT))
}

function share(values: Float64Array): Float64Array {
  const shared = createSharedFloat64(values.length)
  shared.set(values)
  return shared
}

function readCount(file: SafetensorsFile, name: string): number {
  const value = Number(file.metadata[name])
  if (Number.isInteger(value) && value > 0) return value
  throw new EspalierError(
    'MODEL_FILE_INVALID',
    `${file.path}: ${name} is ${file.metadata[name] ?? 'not given'}; expected a whole number above 0`,
    { file: file.path, field: name },
  )
}
