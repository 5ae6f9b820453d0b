import { z } from 'zod'
import { capitalize, strip } from '../python-strings.js'
import { askOnce, defineTask } from '../task.js'

/**
 * HellaSwag (Zellers et al. 2019), rows as in Rowan/hellaswag.
 * Source: lm_eval/tasks/hellaswag/hellaswag.yaml and utils.py of lm-evaluation-harness.
 */
export const hellaswag = defineTask({
  name: 'hellaswag',
  split: 'validation',
  metrics: ['acc', 'acc_norm'],
  document: z.object({
    activity_label: z.string(),
    ctx_a: z.string(),
    ctx_b: z.string(),
    endings: z.array(z.string()).min(2),
    label: z.union([z.string().regex(/^\d+$/, 'holds no answer; test splits do not'), z.int()]),
  }),
  ask: ({ activity_label, ctx_a, ctx_b, endings, label }) =>
    askOnce(clean(`${activity_label}: ${ctx_a} ${capitalize(ctx_b)}`), endings.map(clean), Number(label)),
})

/** Takes out what is left of WikiHow's markup: `[title]`, `[step]`. Brackets do not go over lines. */
function clean(text: string): string {
  return strip(text)
    .replaceAll(' [title]', '. ')
    .replace(/\[[^\n]*?\]/g, '')
    .replaceAll('  ', ' ')
}
