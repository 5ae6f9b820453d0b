/** Real evaluations of policies; what was measured is kept, window by window, in a file between runs. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { selectKeptIndices } from '@espalier/pruning'

/**
 * @returns a function from requests `{ keptUnits, split, windows, method: { metric, compensation } }` to their
 *   measurements, in the same order
 */
export function createMeasure({ options, ids, evaluator, calibration, rankingsBy }) {
  const cache = openCache(options.cache)
  const windowLength = Number(options.window)
  // A cached measurement serves every smaller number of windows too: windows are measured from the start of the split.
  const keyOf = ({ keptUnits, split, method }) =>
    [
      ...[options.model, nameOf(method), windowLength, Number(options['calibration-windows'])],
      ...[split, keptUnits],
    ].join('/')

  /** Policies under one method on the same windows are measured together. */
  async function measureGroup(group) {
    const [{ split, windows, method }] = group
    const measured = await evaluator.measureMany({
      policies: group.map(({ keptUnits }) => selectKeptIndices(rankingsBy(method.metric), keptUnits)),
      calibration,
      ...method,
      ids: ids[split],
      windowLength,
      windows,
    })
    for (const [index, request] of group.entries()) cache.known.set(keyOf(request), measured[index].nll)
    cache.save()
  }

  return async (requests) => {
    const unknown = new Map()
    for (const request of requests) {
      const { split, windows, method } = request
      if ((cache.known.get(keyOf(request))?.length ?? 0) >= windows) continue
      const name = [nameOf(method), split, windows].join('/')
      unknown.set(name, [...(unknown.get(name) ?? []), request])
    }
    for (const group of unknown.values()) await measureGroup(group)
    return requests.map((request) => summarise(cache.known.get(keyOf(request)).slice(0, request.windows), windowLength))
  }
}

const nameOf = ({ metric, compensation }) => `${metric}/${compensation}`

function openCache(file) {
  const known = new Map(file && existsSync(file) ? Object.entries(JSON.parse(readFileSync(file, 'utf8'))) : [])
  return { known, save: () => file && writeFileSync(file, JSON.stringify(Object.fromEntries(known))) }
}

function summarise(nll, windowLength) {
  const tokens = nll.length * (windowLength - 1)
  const logPerplexity = nll.reduce((sum, value) => sum + value, 0) / tokens
  return { nll, tokens, logPerplexity, perplexity: Math.exp(logPerplexity), seconds: 0 }
}
