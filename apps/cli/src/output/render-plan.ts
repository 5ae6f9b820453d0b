import { gpus, type SearchCost } from '@espalier/cost-model'
import type { Plan } from '../plan-model.js'
import { formatBytes, formatCount, formatPercent, formatSeconds, formatTarget } from './format-values.js'
import { renderTable } from './render-table.js'
import type { Colors } from './terminal.js'

/** A plan as people read it: model and device, memory, speed by sparsity, the stages of the search. */
export function renderPlan(plan: Plan, colors: Colors): string {
  const { shape, storedBytes, device, search } = plan
  const peak = storedBytes === 2 ? device.peakFlops.bits16 : device.peakFlops.bits32
  const facts: [string, string][] = [
    [
      'model',
      `${shape.architecture}, ${formatCount(shape.parameters)} parameters, ${8 * storedBytes}-bit weights, ${formatBytes(shape.weightBytes)}`,
    ],
    ['device', `${device.title}, ${formatFlops(peak)}/s (${device.source})`],
    ['efficiency', `${formatPercent(device.efficiency)} of the peak (${device.efficiencySource})`],
    ['memory', describeMemory(plan)],
    ['least sq.', describeLeastSquares(plan)],
  ]
  const right = 'right' as const
  const speeds = renderTable(
    ['policy', 'FLOP a token', 'tokens a second', 's an evaluation'].map((title, at) =>
      at === 0 ? { title } : { title, align: right },
    ),
    plan.speeds.map(({ sparsity, flopsPerToken, tokensPerSecond, secondsPerEvaluation }) => [
      sparsity === 0 ? 'dense' : `${formatTarget({ sparsityTarget: sparsity })} pruned`,
      formatFlops(flopsPerToken),
      formatRate(tokensPerSecond),
      secondsPerEvaluation.toPrecision(3),
    ]),
    colors,
  )
  const stages = renderTable(
    ['stage', 'evaluations', 'tokens', 'time'].map((title, at) => (at === 0 ? { title } : { title, align: right })),
    [
      ...plan.stages.map(({ name, evaluations, tokens, seconds }) => [
        name,
        String(Math.round(evaluations)),
        formatCount(tokens),
        formatSeconds(seconds),
      ]),
      ['training, proposing', `${plan.rounds} rounds`, '', formatSeconds(plan.roundSeconds)],
      ['whole search', '', '', formatSeconds(plan.totalSeconds)],
    ],
    colors,
  )
  const windows = `windows of ${search.windowLength} tokens: ${search.validationWindows} an evaluation, ${search.finalWindows} in final and test`
  return [...facts.map(([name, value]) => `${name.padEnd(12)}${value}`), '', ...speeds, '', windows, ...stages].join(
    '\n',
  )
}

function describeMemory({ memory }: SearchCost): string {
  const { totalBytes, availableBytes, fits } = memory
  const parts: [string, number][] = [
    ['weights', memory.weightBytes],
    ['workspace', memory.workspaceBytes],
    ['runtime', memory.runtimeBytes],
  ]
  const shown = parts.filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `${name} ${formatBytes(bytes)}`)
  const whole = `${formatBytes(totalBytes)} of ${formatBytes(availableBytes)} (${shown.join(', ')})`
  if (fits) return whole
  const larger = gpus.filter((gpu) => gpu.memoryBytes >= totalBytes).map(({ name }) => name)
  return `${whole}: does not fit; ${larger.length > 0 ? `fits ${larger.join(', ')}` : 'fits no single device known here'}`
}

/** What fitting weights takes on the machine that runs this, and whether `auto` would do it with these settings. */
function describeLeastSquares({ leastSquares, autoCompensation, search }: Plan): string {
  const { gramBytes, memoryBytes, passes, moduleBytes, factorBytes } = leastSquares
  const place =
    passes === 1
      ? `in memory (${formatBytes(memoryBytes)} allowed here)`
      : `in a file, ${passes} passes over the calibration text with ${formatBytes(memoryBytes)} of memory`
  const use = `--compensation auto with ${search.calibrationWindows} calibration windows: ${autoCompensation}`
  return `Gram matrices ${formatBytes(gramBytes)} ${place}; ${formatBytes(moduleBytes)} for one module at a time; factorisations ${formatBytes(factorBytes)}. ${use}`
}

function formatFlops(flops: number): string {
  const [unit, size] = flops >= 1e12 ? ['TFLOP', 1e12] : flops >= 1e9 ? ['GFLOP', 1e9] : ['MFLOP', 1e6]
  return `${(flops / Number(size)).toPrecision(3)} ${unit}`
}

function formatRate(tokensPerSecond: number): string {
  return tokensPerSecond >= 1e4 ? formatCount(tokensPerSecond) : String(Math.round(tokensPerSecond))
}
