/**
 * Writes the tables of README.md from real runs; each file is optional:
 *
 *   npx espalier search demo --json > search.json
 *   npm run -s bench -- search --metric wanda --compensation mean --seeds 1,2,3,4,5,6 --peers bench/reference/peers-demo.json --json > peers.json
 *   npm run -s bench -- evaluation --model DIR --json > evaluation.json
 *   node scripts/write-readme-results.mjs --search search.json --peers peers.json --evaluation evaluation.json
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

const writers = { search: describeSearch, peers: describePeers, evaluation: describeEvaluation }
const { values: files } = parseArgs({
  options: Object.fromEntries(Object.keys(writers).map((name) => [name, { type: 'string' }])),
})

let readme = readFileSync('README.md', 'utf8')
for (const [name, file] of Object.entries(files)) {
  const content = writers[name](JSON.parse(readFileSync(file, 'utf8')))
  readme = replaceBlock(readme, name, content)
}
writeFileSync('README.md', readme)

/** Replaces what stands between `<!-- name … -->` and `<!-- /name -->`. */
function replaceBlock(text, name, content) {
  const block = new RegExp(`(<!-- ${name}[^\n]*-->\n)[\\s\\S]*?(<!-- /${name} -->)`)
  if (!block.test(text)) throw new Error(`README.md has no block <!-- ${name} --> … <!-- /${name} -->`)
  return text.replace(block, (_, begin, end) => `${begin}${content}\n${end}`)
}

function describeSearch({ dense, evaluations, targets, method }) {
  const rise = (perplexity) => perplexity / dense.testPerplexity - 1
  const rows = targets.map(({ sparsityTarget, sparsity, uniform, testPerplexity }) => [
    `${(100 * sparsityTarget).toFixed(0)} %`,
    `${(100 * sparsity).toFixed(2)} %`,
    dense.testPerplexity.toFixed(2),
    uniform.testPerplexity.toFixed(2),
    `**${testPerplexity.toFixed(2)}**`,
    `${(100 * (1 - rise(testPerplexity) / rise(uniform.testPerplexity))).toFixed(0)} %`,
  ])
  const header = ['target', 'sparsity', 'dense', 'uniform', 'policy found', 'less damage than uniform']
  return `${table(header, rows)}\n\nPerplexity on the test split, ${evaluations.total} real evaluations over all targets, seed 1; metric ${method.metric}, compensation ${method.compensation}.`
}

function describePeers({ runs, summary }) {
  const known = new Set(['target', 'median', 'worst', 'uniform', 'evaluations'])
  const peers = Object.keys(summary[0]).filter((name) => !known.has(name))
  const columns = ['Espalier', 'its worst seed', 'uniform', ...peers]
  const rows = summary.map((row) => [
    `${(100 * row.target).toFixed(0)} %`,
    ...[row.median, row.worst, row.uniform, ...peers.map((peer) => row[peer])].map((value) => value.toFixed(2)),
  ])
  const [{ evaluations }] = summary
  return `${table(['target', ...columns], rows)}\n\nEspalier: ${runs.length} seeds, ${evaluations} evaluations over all targets, probes and initial ones included.`
}

function describeEvaluation(result) {
  const percent = (value) => `${(100 * value).toFixed(0)} %`
  const rows = [
    ['dense', percent(result.denseFractionOfPeak), result.denseTokensPerSecond.toFixed(0)],
    ['half of the units kept', percent(result.halfFractionOfPeak), result.halfTokensPerSecond.toFixed(0)],
  ]
  const megabytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MB`
  const memory = `Peak memory of the process ${megabytes(result.peakResidentBytes)}, weights as stored ${megabytes(result.weightBytes)}.`
  return `${table(['SmolLM2-135M, 512-token windows, two cores', 'of the peak', 'tokens/s'], rows)}\n\n${memory}`
}

function table(header, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`
  return [line(header), line(header.map(() => '---:')), ...rows.map(line)].join('\n')
}
