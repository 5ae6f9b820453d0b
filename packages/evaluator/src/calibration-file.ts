import { EspalierError } from '@espalier/contracts'
import { openSafetensors, type SafetensorsEntry, type SafetensorsFile, writeSafetensors } from '@espalier/tensor-files'
import type { CalibrationRecord, ModuleCalibration } from './evaluator.js'

const format = 'espalier-calibration/1'
const fields = ['sum', 'sumOfSquares', 'columnAbsoluteMean', 'columnSquareSum', 'outputMean'] as const
type Field = (typeof fields)[number]
const gramField = 'gram'

const nameOf = (module: number, field: Field | typeof gramField) => `modules.${module}.${field}`

/** Writes a record as one safetensors file of F64 tensors; what it was made from stands in the metadata. */
export async function writeCalibration(path: string, record: CalibrationRecord): Promise<void> {
  const entries = record.modules.flatMap((module, index) => {
    const tensors = [...fields.map((field) => [field, module[field]] as const), [gramField, module.gram] as const]
    return tensors.flatMap(([field, values]): SafetensorsEntry[] => {
      if (values === null) return []
      const read = () => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
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

/** @throws EspalierError MODEL_FILE_INVALID and what `openSafetensors` throws */
export async function readCalibration(path: string): Promise<CalibrationRecord> {
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
    for (let module = 0; module < readCount(file, 'modules'); module++) {
      const read = (field: Field | typeof gramField) => file.readFloat64(nameOf(module, field))
      modules.push({
        count: windows * windowLength,
        sum: await read('sum'),
        sumOfSquares: await read('sumOfSquares'),
        columnAbsoluteMean: await read('columnAbsoluteMean'),
        columnSquareSum: await read('columnSquareSum'),
        outputMean: await read('outputMean'),
        gram: file.tensors.has(nameOf(module, gramField)) ? share(await read(gramField)) : null,
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
