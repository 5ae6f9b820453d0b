/**
 * Records a real run of the demo as docs/demo.svg: an animation of the terminal, no script in it.
 * Needs `script` of util-linux for the terminal.
 *
 *   node scripts/record-demo.mjs
 */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'

const columns = 112
const rows = 26
/** Frames kept of the run, spread evenly; the last stays longest. */
const frameCount = 24
const frameSeconds = 0.6
const lastFrameSeconds = 6
const cell = { width: 8.4, height: 18 }
const palette = { 1: '#ff7b72', 2: '#7ee787', 3: '#e3b341', 4: '#79c0ff', 5: '#d2a8ff', 6: '#76e3ea', 7: '#c9d1d9' }

/** Feeds a terminal's output to a screen of lines, each a list of { character, style }. */
function createScreen() {
  const lines = [[]]
  let row = 0
  let column = 0
  let style = { color: null, bold: false, dim: false }
  const lineAt = (index) => {
    while (lines.length <= index) lines.push([])
    return lines[index]
  }
  const control = (parameters, command) => {
    const count = Number(parameters) || 1
    if (command === 'A') row = Math.max(0, row - count)
    if (command === 'B') row += count
    if (command === 'G') column = count - 1
    if (command === 'K') lineAt(row).splice(column)
    if (command === 'J') {
      lineAt(row).splice(column)
      lines.splice(row + 1)
    }
    if (command === 'm') for (const code of parameters.split(';')) style = restyle(style, Number(code))
  }
  const put = (character) => {
    const line = lineAt(row)
    while (line.length < column) line.push({ character: ' ', style })
    line[column++] = { character, style }
  }
  return {
    write(text) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is parsed
      for (const [token, parameters, command] of text.matchAll(/\u001b\[([\d;?]*)([A-Za-z])|[\s\S]/gu)) {
        if (command) control(parameters, command)
        else if (token === '\n') row++
        else if (token === '\r') column = 0
        else if (token >= ' ') put(token)
        if (token === '\n') column = 0
      }
    },
    snapshot: () => lines.slice(-rows).map((line) => line.map((shown) => ({ ...shown }))),
  }
}

function restyle(style, code) {
  if (code === 0) return { color: null, bold: false, dim: false }
  if (code === 1) return { ...style, bold: true }
  if (code === 2) return { ...style, dim: true }
  if (code === 22) return { ...style, bold: false, dim: false }
  if (code === 39) return { ...style, color: null }
  const color = palette[(code >= 90 ? code - 90 : code - 30) % 10]
  return (code >= 30 && code <= 37) || (code >= 90 && code <= 97) ? { ...style, color } : style
}

async function record() {
  const screen = createScreen()
  const frames = []
  const demo = `stty cols ${columns} rows ${rows}; exec npx espalier demo --fresh`
  const child = spawn('script', ['-qfec', demo, '/dev/null'], { env: { ...process.env, FORCE_COLOR: '1', CI: '' } })
  child.stdout.on('data', (chunk) => {
    screen.write(chunk.toString())
    const frame = screen.snapshot()
    if (frame.some((line) => line.length > 0)) frames.push(frame)
  })
  const code = await new Promise((resolve) => child.once('exit', resolve))
  if (code !== 0) throw new Error(`the demo ended with ${code}`)
  const chosen = Array.from(
    { length: frameCount - 1 },
    (_, index) => frames[Math.floor((index * frames.length) / frameCount)],
  )
  return [...chosen, screen.snapshot()]
}

function drawFrames(frames) {
  const total = (frames.length - 1) * frameSeconds + lastFrameSeconds
  const width = columns * cell.width + 32
  const height = rows * cell.height + 32
  const groups = frames.map((frame, index) => {
    const start = (100 * index * frameSeconds) / total
    const end = index === frames.length - 1 ? 100 : (100 * (index + 1) * frameSeconds) / total
    const shown = `${start.toFixed(2)}%,${(end - 0.01).toFixed(2)}%{visibility:visible}`
    const rule = `@keyframes f${index}{0%,100%{visibility:hidden}${shown}${end.toFixed(2)}%{visibility:hidden}}`
    // Readers that do not animate show the last frame.
    const still = index === frames.length - 1 ? 'visible' : 'hidden'
    return {
      rule,
      body: `<g style="visibility:${still};animation:f${index} ${total}s step-end infinite">${drawLines(frame)}</g>`,
    }
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">
<title>A search of the bundled model, recorded in a terminal</title>
<style>text{font:14px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#c9d1d9}${groups.map(({ rule }) => rule).join('')}</style>
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${groups.map(({ body }) => body).join('\n')}
</svg>
`
}

function drawLines(lines) {
  return lines
    .map((line, index) => ({ line, y: 16 + (index + 0.75) * cell.height }))
    .filter(({ line }) => line.length > 0)
    .map(({ line, y }) => `<text x="16" y="${y}" xml:space="preserve">${drawSpans(line)}</text>`)
    .join('')
}

function drawSpans(line) {
  const spans = []
  for (const { character, style } of line) {
    const last = spans.at(-1)
    const key = JSON.stringify(style)
    if (last?.key === key) last.text += character
    else spans.push({ key, style, text: character })
  }
  return spans.map(({ style, text }) => drawSpan(style, text)).join('')
}

function drawSpan({ color, bold, dim }, text) {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  const attributes = [
    color ? ` fill="${color}"` : '',
    bold ? ' font-weight="bold"' : '',
    dim ? ' opacity="0.6"' : '',
  ].join('')
  return attributes ? `<tspan${attributes}>${escaped}</tspan>` : escaped
}

writeFileSync(new URL('../docs/demo.svg', import.meta.url), drawFrames(await record()))
