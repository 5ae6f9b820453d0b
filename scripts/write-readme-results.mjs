/**
 * Writes the result table of README.md from a real search:
 *
 *   npx espalier search demo --json > result.json && node scripts/write-readme-results.mjs result.json
 */
import { readFileSync, writeFileSync } from 'node:fs'

const [file] = process.argv.slice(2)
if (!file) throw new Error('usage: node scripts/write-readme-results.mjs RESULT.json')
const { dense, evaluations, targets } = JSON.parse(readFileSync(file, 'utf8'))

const number = (value) => value.toFixed(2)
const rows = targets.map((target) => {
  const rise = (perplexity) => perplexity / dense.testPerplexity - 1
  const saved = 1 - rise(target.testPerplexity) / rise(target.uniform.testPerplexity)
  return [
    `${(100 * target.sparsityTarget).toFixed(0)} %`,
    `${(100 * target.sparsity).toFixed(2)} %`,
    number(dense.testPerplexity),
    number(target.uniform.testPerplexity),
    `**${number(target.testPerplexity)}**`,
    `${(100 * saved).toFixed(0)} %`,
  ]
})
const header = ['target', 'sparsity', 'dense', 'uniform', 'policy found', 'less damage than uniform']
const line = (cells) => `| ${cells.join(' | ')} |`
const table = [line(header), line(header.map(() => '---:')), ...rows.map(line)].join('\n')
const caption = `Perplexity on the test split, ${evaluations.total} real evaluations over all targets, seed 1.`

const begin = '<!-- results: scripts/write-readme-results.mjs -->'
const end = '<!-- /results -->'
const readme = readFileSync('README.md', 'utf8')
const [before, rest] = readme.split(begin)
const after = rest?.split(end)[1]
if (after === undefined) throw new Error(`README.md has no ${begin} … ${end}`)
writeFileSync('README.md', `${before}${begin}\n${table}\n\n${caption}\n${end}${after}`)
