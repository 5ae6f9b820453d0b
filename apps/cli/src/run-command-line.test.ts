import { describe, expect, it } from '@jest/globals'
import { createRecordedTerminal } from './output/recorded-terminal.test-support.js'
import { runCommandLine } from './run-command-line.js'

async function run(...args: string[]) {
  const recorded = createRecordedTerminal()
  const code = await runCommandLine(args, recorded.terminal)
  return { code, printed: recorded.printed(), noted: recorded.noted() }
}

describe('the command line', () => {
  it.each([
    [['nonsense'], /unknown command 'nonsense'/],
    [['ppl', 'demo'], /required option '--window/],
    [['ppl', 'demo', '--window', '256'], /--text FILE or --ids FILE/],
    [['ppl', 'demo', '--window', '1', '--ids', 'x'], /"1" is not a whole number of 2 or more/],
    [['ppl', 'demo', '--window', '2.5', '--ids', 'x'], /"2.5" is not a whole number/],
    [['ppl', 'demo', '--window', '64', '--ids', 'a', '--text', 'b'], /one of --text FILE and --ids FILE, not both/],
    [['tasks', 'demo', '--task', 'mmlu', '--data', 'x'], /"mmlu" is not a task; there are hellaswag, arc_easy/],
    [['tasks', 'demo', '--task', 'piqa'], /required option '--data/],
    [['tasks', 'demo', '--task', 'piqa,boolq', '--data', 'piqa=x'], /boolq has no documents: give --data boolq=FILE/],
    [['tasks', 'demo', '--task', 'piqa', '--data', 'x', '--data', 'y'], /piqa has several sources/],
    [['tasks', 'demo', '--task', 'piqa,boolq', '--data', '/'], /\/ has neither piqa.jsonl nor piqa.parquet nor piqa\//],
    [['tasks', 'demo', '--task', 'piqa', '--data', 'x', '--calibration-text', 'y'], /give --policy FILE too/],
    [['search', 'demo', '--targets', '0.2,1'], /"1" is not a target/],
    [['search', 'demo', '--targets', '0'], /"0" is not a target/],
    [['search', 'demo', '--targets', 'NaN'], /"NaN" is not a target/],
    [['search', 'demo', '--targets', '0.2,,0.5'], /"" is not a target/],
    [['search', 'demo', '--targets', 'weight-bytes=6parsecs'], /"6parsecs" must be a positive number, .*units B, kB/],
    [['search', 'demo', '--max', 'joy=1'], /"joy" is no resource; there are prunable-parameters, parameters/],
    [['search', 'demo', '--max', 'kv-bytes=1.5x'], /"1.5x" is not a share above 0x and at most 1x/],
    [['search', 'demo', '--freeze-layers', '3-1'], /"3-1" is no layer and no range/],
    [['search', 'demo', '--keep', 'ffn=..'], /"ffn=.." is no bound such as ffn\[0-3\]=256..400/],
    [['search', 'demo', '--only', 'norms'], /Allowed choices are attention, ffn/],
    [['search', 'demo', '--budget', '0'], /"0" is not a whole number of 1 or more/],
    [['search', 'demo', '--seed', '-1'], /"-1" is not a whole number of 0 to 4294967295/],
    [['search', 'demo', '--metric', 'taylor'], /Allowed choices are magnitude, wanda, fluctuation/],
    [['search', 'demo', '--calibration', '/absent.txt'], /calibration text \/absent.txt does not exist/],
    [['search', '/', '--seed', '1'], /no calibration text of its own .*--calibration FILE/],
    [['up', '--port', '70000'], /"70000" is not a whole number of 0 to 65535/],
    [['plan', 'demo', '--device', 'tpu'], /Allowed choices are h100-80g, h200, a100-80g, a100-40g, l40s, rtx4090, cpu/],
    [['export', 'some-id'], /required option '--out/],
    [['generate', 'some-id'], /Say which sparsities: --sparsity LIST, or --count N --from LOW --to HIGH/],
    [['generate', 'some-id', '--count', '1'], /"1" is not a whole number of 2 to 100/],
    [['generate', 'some-id', '--count', '4', '--from', '0.4', '--to', '0.2'], /--from 0.4 must be below --to 0.2/],
    [
      ['generate', 'some-id', '--sparsity', '0.2', '--count', '4'],
      /'--sparsity <list>' cannot be used with option '--count/,
    ],
    [['generate', 'some-id', '--sparsity', '1.2'], /"1.2" is not a sparsity/],
  ])('%j is used wrongly: exit code 2, and it says what is allowed', async (args, message) => {
    const { code, printed, noted } = await run(...args)
    expect(noted).toMatch(message)
    expect(printed).toBe('')
    expect(code).toBe(2)
  })

  it('explains each command', async () => {
    const { code, printed } = await run('--help')
    expect(code).toBe(0)
    for (const command of [
      'demo',
      'search',
      'inspect',
      'plan',
      'measure-latency',
      'ppl',
      'tasks',
      'experiments',
      'up',
      'submit',
      'watch',
      'status',
      'front',
      'export',
      'generate',
      'cancel',
    ]) {
      expect(printed).toMatch(new RegExp(`^  ${command} `, 'm'))
      const help = await run(command, '--help')
      expect(help.code).toBe(0)
      expect(help.printed).toMatch(/^Usage: espalier /)
    }
  })

  it('says how to start a service when none runs', async () => {
    const { code, noted } = await run('status', '--home', '/nonexistent/home')
    expect(code).toBe(1)
    expect(noted).toMatch(/No Espalier service is running\n.*`espalier up`[\s\S]*code SERVICE_NOT_RUNNING/)
  })
})
