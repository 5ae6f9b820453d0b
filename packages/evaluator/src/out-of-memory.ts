import { EspalierError } from '@espalier/contracts'

/** A run or a session that found no memory. */
export interface OutOfMemory {
  /** Of the allocation that failed; null: the message does not say. */
  readonly requestedBytes: number | null
}

/**
 * What ONNX Runtime says when memory is short: its arena (bfc_arena.cc), the C++ library on a CPU, and CUDA with its
 * libraries. It has no code of its own for it.
 */
const messages = [
  /Failed to allocate memory for requested buffer of size (\d+)/,
  /Available memory of \d+ is smaller than requested bytes of (\d+)/,
  /std::bad_alloc/,
  /CUDA failure 2\b|cudaErrorMemoryAllocation|CUDA.*out of memory/i,
  /CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED/,
]

/** What an error of ONNX Runtime says about memory; null: it is about something else. */
export function findOutOfMemory(error: unknown): OutOfMemory | null {
  if (!(error instanceof Error) || error instanceof EspalierError) return null
  for (const pattern of messages) {
    const found = pattern.exec(error.message)
    if (found !== null) return { requestedBytes: found[1] === undefined ? null : Number(found[1]) }
  }
  return null
}
