import { z } from 'zod'
import { askOnce, defineTask } from '../task.js'

/**
 * PIQA (Bisk et al. 2020), rows as in baber/piqa.
 * Source: lm_eval/tasks/piqa/piqa.yaml of lm-evaluation-harness.
 */
export const piqa = defineTask({
  name: 'piqa',
  split: 'validation',
  metrics: ['acc', 'acc_norm'],
  document: z.object({ goal: z.string(), sol1: z.string(), sol2: z.string(), label: z.int() }),
  ask: ({ goal, sol1, sol2, label }) => askOnce(`Question: ${goal}\nAnswer:`, [sol1, sol2], label),
})
