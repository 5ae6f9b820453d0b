/** Rows or columns of a stored matrix (or entries of a vector, its rows) that stay. */
export interface Selection {
  readonly axis: 'rows' | 'columns'
  /** Sorted. */
  readonly kept: Int32Array
}

/** A stored tensor, row-major: [rows, columns], a vector as [rows]. */
export interface StoredMatrix {
  readonly bytes: Uint8Array
  readonly shape: readonly number[]
}

/** The shape after the selection. */
export function shapeOfSelection(shape: readonly number[], { axis, kept }: Selection): readonly number[] {
  const changed = axis === 'rows' ? 0 : 1
  return shape.map((length, position) => (position === changed ? kept.length : length))
}

/** The bytes of the kept rows or columns alone. Works on any element type. */
export function selectKept({ bytes, shape }: StoredMatrix, { axis, kept }: Selection): Uint8Array {
  const rows = shape[0] ?? 1
  const rowBytes = bytes.byteLength / rows
  if (axis === 'rows') {
    const selected = new Uint8Array(kept.length * rowBytes)
    kept.forEach((row, at) => {
      selected.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), at * rowBytes)
    })
    return selected
  }
  const elementBytes = rowBytes / (shape[1] ?? 1)
  const selected = new Uint8Array(rows * kept.length * elementBytes)
  let at = 0
  for (let row = 0; row < rows; row++) {
    for (const column of kept) {
      const from = row * rowBytes + column * elementBytes
      for (let byte = 0; byte < elementBytes; byte++) selected[at++] = bytes[from + byte] as number
    }
  }
  return selected
}

/** The same matrix with zeros outside the kept rows or columns. All bits zero is +0 in every float format. */
export function zeroRemoved({ bytes, shape }: StoredMatrix, { axis, kept }: Selection): Uint8Array {
  const rows = shape[0] ?? 1
  const rowBytes = bytes.byteLength / rows
  const zeroed = new Uint8Array(bytes.byteLength)
  if (axis === 'rows') {
    for (const row of kept) zeroed.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), row * rowBytes)
    return zeroed
  }
  const elementBytes = rowBytes / (shape[1] ?? 1)
  for (let row = 0; row < rows; row++) {
    for (const column of kept) {
      const from = row * rowBytes + column * elementBytes
      for (let byte = from; byte < from + elementBytes; byte++) zeroed[byte] = bytes[byte] as number
    }
  }
  return zeroed
}
