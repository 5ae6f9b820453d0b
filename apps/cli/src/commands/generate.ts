import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type GeneratedPoliciesResource, generateLimit } from '@espalier/contracts'
import { Command, InvalidArgumentError, Option } from 'commander'
import { configurationFor, getService } from '../client/find-service.js'
import { generatePolicies } from '../client/search-requests.js'
import { UsageError } from '../input/command-errors.js'
import { integerFrom, parseSparsities } from '../input/parse-options.js'
import { renderGenerated } from '../output/render-generated.js'
import type { Terminal } from '../output/terminal.js'

interface GenerateOptions {
  readonly sparsity?: readonly number[]
  readonly count?: number
  readonly from?: number
  readonly to?: number
  readonly out?: string
  readonly home?: string
  readonly json?: true
}

/** `espalier generate`: policies for any sparsity, from what a search has learnt. */
export function createGenerateCommand(terminal: Terminal): Command {
  const oneSparsity = (text: string) => {
    const [value, ...more] = parseSparsities(text)
    if (value === undefined || more.length > 0) throw new InvalidArgumentError(`"${text}" is not one sparsity.`)
    return value
  }
  return new Command('generate')
    .summary('generate policies for any sparsity around the targets of a search')
    .description(
      'Gives policies for sparsities that were never searched, with the perplexity that the predictor expects of them; ' +
        'nothing is measured. Speed-up: floating-point operations of the dense model over those of the policy. ' +
        'Possible as soon as the first round of a search has trained its policy network.',
    )
    .argument('<id>', 'id of the search')
    .addOption(
      new Option('--sparsity <list>', 'sparsities wanted, e.g. 0.27 or 0.2,0.25,0.3')
        .argParser(parseSparsities)
        .conflicts(['count', 'from', 'to']),
    )
    .option('--count <number>', 'so many sparsities, evenly from --from to --to', integerFrom(2, generateLimit))
    .option('--from <sparsity>', 'the lowest of --count', oneSparsity)
    .option('--to <sparsity>', 'the highest of --count', oneSparsity)
    .option('--out <path>', 'the policy file to write; for several sparsities a folder of them')
    .option('--home <dir>', 'home of the service (default: ESPALIER_HOME or ~/.espalier)')
    .option('--json', 'print one JSON object')
    .action(async (id: string, options: GenerateOptions) => {
      const sparsities = sparsitiesOf(options)
      const client = await getService(configurationFor(options.home))
      const generated = await generatePolicies(client, id, sparsities)
      if (options.out !== undefined) await writePolicies(generated, options.out)
      if (options.json) terminal.print(JSON.stringify(generated))
      else terminal.print(renderGenerated(generated, terminal.colors).join('\n'))
    })
}

function sparsitiesOf({ sparsity, count, from, to }: GenerateOptions): readonly number[] {
  if (sparsity !== undefined) return sparsity
  if (count === undefined || from === undefined || to === undefined) {
    throw new UsageError('Say which sparsities: --sparsity LIST, or --count N --from LOW --to HIGH.')
  }
  if (from >= to) throw new UsageError(`--from ${from} must be below --to ${to}.`)
  // Two more digits than anyone asks for, so that 0.1 + 2 x 0.1 is 0.3.
  const even = (index: number) => Number((from + ((to - from) * index) / (count - 1)).toFixed(6))
  return Array.from({ length: count }, (_, index) => even(index))
}

async function writePolicies({ policies }: GeneratedPoliciesResource, out: string): Promise<void> {
  const [single, ...others] = policies
  const files =
    single !== undefined && others.length === 0
      ? [{ path: out, policy: single.policy }]
      : policies.map(({ sparsityTarget, policy }) => ({ path: join(out, `sparsity-${sparsityTarget}.json`), policy }))
  for (const { path, policy } of files) {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, `${JSON.stringify(policy, null, 2)}\n`)
  }
}
