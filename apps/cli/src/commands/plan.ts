import { searchDefaults } from '@espalier/contracts'
import { cpuName, deviceNames } from '@espalier/cost-model'
import { Command, Option } from 'commander'
import { integerFrom, parseSparsities } from '../input/parse-options.js'
import { resolveModelDirectory } from '../input/resolve-model.js'
import { createWeightsOption } from '../input/weights-option.js'
import { renderPlan } from '../output/render-plan.js'
import type { Terminal } from '../output/terminal.js'
import { assumedFinalShare, type PlanRequest, planModel } from '../plan-model.js'

/** `espalier plan`: what a search would need, before any weight is there. */
export function createPlanCommand(terminal: Terminal): Command {
  const defaults = searchDefaults
  return new Command('plan')
    .summary('say what memory and time a search would take on a device')
    .description(
      'Computes memory, tokens a second and the time of a search from config.json alone; weights need not be there. ' +
        'GPUs: published peaks and an assumed efficiency. cpu: this machine, by a quick product.',
    )
    .argument('<model>', 'folder with the config.json of a Hugging Face model, or "demo"')
    .addOption(new Option('--device <name>', 'where policies are measured').choices(deviceNames).default(cpuName))
    .option('--targets <list>', 'sparsities wanted, each above 0 and below 1', parseSparsities, [...defaults.targets])
    .option('--budget <count>', 'real evaluations on the validation split', integerFrom(1), defaults.budget)
    .option('--window <tokens>', 'tokens a window', integerFrom(2), defaults.windowLength)
    .option('--calibration-windows <count>', 'windows of calibration', integerFrom(1), defaults.calibrationWindows)
    .option('--validation-windows <count>', 'windows an evaluation', integerFrom(1), defaults.validationWindows)
    .option(
      '--final-windows <count>',
      `windows of a final measurement and of a test (default: ${assumedFinalShare} times those of an evaluation)`,
      integerFrom(1),
    )
    .addOption(createWeightsOption())
    .option('--json', 'print one JSON object')
    .action(async (model: string, options: PlanRequest & { json?: true }) => {
      const plan = await planModel(resolveModelDirectory(model), options)
      terminal.print(options.json ? JSON.stringify(plan) : renderPlan(plan, terminal.colors))
    })
}
