/**
 * Peak resident bytes of a process of its own that opens a model and measures it, dense and at half of its units.
 * Started as a program it is that process; it reads the request as JSON.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createEvaluator } from '@espalier/evaluator'

const thisFile = fileURLToPath(import.meta.url)

export async function measureMemory(request) {
  // Kept indices are too long for an argument.
  const running = promisify(execFile)(process.execPath, [thisFile], { maxBuffer: 2 ** 20 })
  running.child.stdin.end(JSON.stringify(request))
  return Number((await running).stdout)
}

if (process.argv[1] === thisFile) {
  const { model, weights, threads, windows, windowLength, half } = JSON.parse(readFileSync(0, 'utf8'))
  const evaluator = await createEvaluator({ modelDirectory: model, weights, threads })
  const ids = Int32Array.from({ length: windows * windowLength }, (_, index) => index % 100)
  for (const keptIndices of [null, half, null]) {
    await evaluator.measure({ ids, windowLength, windows, keptIndices, calibration: null })
  }
  await evaluator.close()
  console.log(readPeakResidentBytes())
}

/** VmHWM of the whole process; where there is no /proc, what Node says. */
function readPeakResidentBytes() {
  try {
    const kilobytes = readFileSync('/proc/self/status', 'utf8').match(/VmHWM:\s+(\d+) kB/)?.[1]
    return Number(kilobytes) * 1024
  } catch {
    return process.resourceUsage().maxRSS * 1024
  }
}
