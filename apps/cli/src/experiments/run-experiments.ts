import { cpus } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import type { ExperimentNumber, ExperimentsReport, ExperimentsSettings, ReportPart } from '@espalier/contracts'
import { countCpus } from '@espalier/evaluator'
import { type ExperimentPart, experimentParts, fullScale, quickScale } from '@espalier/experiments'
import type { Terminal } from '../output/terminal.js'
import { openWorkshop } from './open-workshop.js'
import { createPartProgress } from './part-progress.js'
import { readReportParts, writeReport } from './report-folder.js'

export interface ExperimentsRequest {
  readonly directory: string
  readonly texts: string
  readonly evaluations: string | null
  readonly out: string
  readonly parts: readonly ExperimentNumber[]
  readonly seeds: readonly number[]
  readonly quick: boolean
  /** Whether a report in the folder is replaced. */
  readonly fresh: boolean
  readonly signal: AbortSignal
}

/**
 * Runs the parts that are wanted and not there yet; each is written when it is finished, so that what is interrupted
 * goes on with the next one.
 */
export async function runExperiments(request: ExperimentsRequest, terminal: Terminal): Promise<ExperimentsReport> {
  const { signal, seeds, quick, out } = request
  const scale = quick ? quickScale : fullScale
  const workshop = await openWorkshop({ ...request, scale })
  const breathe = async () => {
    await setImmediate()
    signal.throwIfAborted()
  }
  try {
    const settings: ExperimentsSettings = { ...workshop.identity, seeds: [...seeds], quick }
    let parts = request.fresh ? [] : await readReportParts(out, settings)
    const reportOf = (): ExperimentsReport => ({
      format: 'espalier-experiments/1',
      settings,
      machine: describeMachine(),
      parts: [...parts],
    })
    const wanted = experimentParts.filter(({ part }) => request.parts.includes(part))
    for (const [index, experiment] of wanted.entries()) {
      const heading = `part ${experiment.part} (${index + 1} of ${wanted.length}): ${experiment.title}`
      if (parts.some(({ part }) => part === experiment.part)) {
        terminal.note(`${heading}: is in ${out} already`)
        continue
      }
      await breathe()
      const progress = createPartProgress(heading, terminal)
      const result = await runPart(experiment, { workshop, scale, seeds, progress: progress.update, breathe })
      parts = [...parts, result].sort((a, b) => a.part - b.part)
      await writeReport(out, reportOf())
      progress.end()
    }
    return reportOf()
  } finally {
    await workshop.close()
  }
}

async function runPart(experiment: ExperimentPart, context: Parameters<ExperimentPart['run']>[0]): Promise<ReportPart> {
  const started = performance.now()
  const { part, title } = experiment
  const result = await experiment.run(context)
  return { part, title, ...result, seconds: (performance.now() - started) / 1000 }
}

function describeMachine(): ExperimentsReport['machine'] {
  return { processor: cpus()[0]?.model.trim() ?? 'unknown', threads: countCpus() }
}
