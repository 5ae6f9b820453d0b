import type { ReportPlot } from '@espalier/contracts'
import { createAxis } from './axis-ticks.js'

type Series = ReportPlot['series'][number]

const size = { width: 720, height: 420 }
/** The plot itself; the legend stands to its right. */
const frame = { left: 72, top: 40, right: 500, bottom: 364 }
const legend = { left: 516, top: 52, lineHeight: 20, characters: 30 }
/** Okabe and Ito's colours, which colour-blind people tell apart. */
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000']
const grey = '#767676'
/** So few are drawn larger. */
const FEW_POINTS = 20

/** A plot as SVG: two axes, a series a colour, a legend. */
export function renderPlot({ title, x, y, series }: ReportPlot): string {
  const points = series.flatMap((one) => one.points)
  const across = createAxis(
    points.map(([value]) => value),
    x.scale,
  )
  const up = createAxis(
    points.map(([, value]) => value),
    y.scale,
  )
  const place = ([a, b]: readonly [number, number]) => [placeX(across.place(a)), placeY(up.place(b))] as const
  const isPlaced = ([a, b]: readonly [number, number]) =>
    Number.isFinite(across.place(a)) && Number.isFinite(up.place(b))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" role="img" font-family="sans-serif" font-size="12">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${size.width}" height="${size.height}" fill="#fff"/>`,
    text(frame.left, 22, title, 'font-size="14" font-weight="bold"'),
    ...across.ticks.map((tick) => verticalLine(placeX(across.place(tick)), shownTick(tick))),
    ...up.ticks.map((tick) => horizontalLine(placeY(up.place(tick)), shownTick(tick))),
    text((frame.left + frame.right) / 2, size.height - 14, x.label, 'text-anchor="middle"'),
    `<g transform="translate(16 ${(frame.top + frame.bottom) / 2}) rotate(-90)">${text(0, 0, y.label, 'text-anchor="middle"')}</g>`,
    ...series.map((one, index) => drawSeries(one, colourOf(one, index), one.points.filter(isPlaced).map(place))),
    ...series.map((one, index) => legendEntry(one, colourOf(one, index), index)),
    '</svg>',
    '',
  ].join('\n')
}

const placeX = (share: number) => shorten(frame.left + share * (frame.right - frame.left))
const placeY = (share: number) => shorten(frame.bottom - share * (frame.bottom - frame.top))

/** A tenth of a pixel is enough, and keeps files small. */
function shorten(value: number): number {
  return Number(value.toFixed(1))
}

function colourOf({ style }: Series, index: number): string {
  return style === 'dashed' ? grey : (colours[index % colours.length] ?? grey)
}

function drawSeries({ style }: Series, colour: string, points: readonly (readonly [number, number])[]): string {
  const radius = style === 'points' && points.length > FEW_POINTS ? 2.5 : 4
  const dots = style === 'dashed' ? [] : points.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="${radius}"/>`)
  const path = points.map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${x} ${y}`).join('')
  const dash = style === 'dashed' ? ' stroke-dasharray="6 4"' : ''
  const line =
    style === 'points' ? [] : [`<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.8"${dash}/>`]
  const opacity = style === 'points' ? ' fill-opacity="0.6"' : ''
  return `<g fill="${colour}"${opacity}>${[...line, ...dots].join('')}</g>`
}

function legendEntry({ name, style }: Series, colour: string, index: number): string {
  const y = legend.top + index * legend.lineHeight
  const dash = style === 'dashed' ? ' stroke-dasharray="6 4"' : ''
  const sign =
    style === 'points'
      ? `<circle cx="${legend.left + 9}" cy="${y - 4}" r="4" fill="${colour}"/>`
      : `<path d="M${legend.left} ${y - 4}h18" stroke="${colour}" stroke-width="2"${dash}/>`
  const shown = name.length > legend.characters ? `${name.slice(0, legend.characters - 1)}…` : name
  return sign + text(legend.left + 24, y, shown, 'font-size="11"')
}

function verticalLine(x: number, label: string): string {
  const line = `<path d="M${x} ${frame.top}V${frame.bottom}" stroke="#e0e0e0"/>`
  return line + text(x, frame.bottom + 18, label, 'text-anchor="middle"')
}

function horizontalLine(y: number, label: string): string {
  const line = `<path d="M${frame.left} ${y}H${frame.right}" stroke="#e0e0e0"/>`
  return line + text(frame.left - 8, y + 4, label, 'text-anchor="end"')
}

function shownTick(value: number): string {
  if (value === 0) return '0'
  const magnitude = Math.abs(value)
  if (magnitude >= 1e5 || magnitude < 1e-3) return value.toExponential(0).replace('e+', 'e')
  return String(Number(value.toPrecision(6)))
}

function text(x: number, y: number, content: string, attributes: string): string {
  return `<text x="${x}" y="${y}" fill="#222" ${attributes}>${escapeXml(content)}</text>`
}

function escapeXml(content: string): string {
  return content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
