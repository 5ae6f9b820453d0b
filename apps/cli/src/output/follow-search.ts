import type { SearchDetailResource } from '@espalier/contracts'
import type { ApiClient } from '../client/api-client.js'
import { watchSearch } from '../client/watch-search.js'
import { renderProgress, renderProgressLine } from './render-progress.js'
import type { Terminal } from './terminal.js'

/** Without a terminal to redraw, a line on every change of state and otherwise so often. */
const lineEveryMs = 10_000

/** Watches a search to its end and shows what it does: redrawn in place, or line by line where that does not work. */
export async function followSearch(
  client: ApiClient,
  id: string,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<SearchDetailResource> {
  const showLine = createLineWriter(terminal)
  const search = await watchSearch(client, id, {
    signal,
    onUpdate: (update) =>
      terminal.interactive ? terminal.live(renderProgress(update, terminal.colors)) : showLine(update),
    onSilence: () => {
      if (terminal.interactive) terminal.live([terminal.colors.yellow('the service does not answer; trying again')])
      else terminal.note('the service does not answer; trying again')
    },
  })
  terminal.live([])
  return search
}

function createLineWriter(terminal: Terminal): (search: SearchDetailResource) => void {
  let shown = { line: '', stage: '', atMs: Number.NEGATIVE_INFINITY }
  return (search) => {
    const line = renderProgressLine(search)
    const stage = `${search.state} ${search.progress?.round}`
    const now = performance.now()
    if (line === shown.line || (stage === shown.stage && now - shown.atMs < lineEveryMs)) return
    shown = { line, stage, atMs: now }
    terminal.note(line)
  }
}
