/**
 * Sorts the first `count` indices by their keys, largest first; equal ones stay in order. By insertion: there are a few
 * hundred modules at most, for which a call to compare two costs more than to move them.
 */
export function sortByLargest(indices: Int32Array, count: number, keys: Float64Array): void {
  for (let sorted = 1; sorted < count; sorted++) {
    const index = indices[sorted] as number
    const key = keys[index] as number
    let place = sorted
    for (; place > 0 && (keys[indices[place - 1] as number] as number) < key; place--) {
      indices[place] = indices[place - 1] as number
    }
    indices[place] = index
  }
}
