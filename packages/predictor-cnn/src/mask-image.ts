/** Cells that the units of a module are shown in, whatever their number. */
export const IMAGE_WIDTH = 16
/** Attention and feed-forward. */
export const IMAGE_CHANNELS = 2

/**
 * The mask matrices of a policy as one image [layers, IMAGE_WIDTH, IMAGE_CHANNELS], row-major: a row a layer, a channel
 * a kind of module, values from -1 (removed) to 1 (kept).
 *
 * The columns of a mask matrix are in order of importance, the most important unit first, so that neighbouring cells
 * are alike, which is what a convolution needs; the order by index, in which units lie in the model, means nothing. A
 * cell is the mean of the mask bits in it: cell c of W with share x kept is clip(W x - c, 0, 1).
 *
 * @param units units of each module, attention and feed-forward alternating
 */
export function drawMaskImage(units: readonly number[], kept: ArrayLike<number>, image: Float64Array): Float64Array {
  units.forEach((count, module) => {
    const filled = (IMAGE_WIDTH * (kept[module] ?? 0)) / count
    const start = (module >> 1) * IMAGE_WIDTH * IMAGE_CHANNELS + (module & 1)
    for (let cell = 0; cell < IMAGE_WIDTH; cell++) {
      image[start + cell * IMAGE_CHANNELS] = 2 * Math.min(Math.max(filled - cell, 0), 1) - 1
    }
  })
  return image
}
