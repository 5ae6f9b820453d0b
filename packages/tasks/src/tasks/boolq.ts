import { z } from 'zod'
import { askOnce, defineTask } from '../task.js'

/**
 * BoolQ (Clark et al. 2019), rows as in aps/super_glue, or as in google/boolq, which says `answer` for `label`.
 * Source: lm_eval/tasks/super_glue/boolq/default.yaml of lm-evaluation-harness.
 */
export const boolq = defineTask({
  name: 'boolq',
  split: 'validation',
  metrics: ['acc'],
  document: z.object({
    passage: z.string(),
    question: z.string(),
    label: z.union([z.int(), z.boolean()]).nullish(),
    answer: z.boolean().nullish(),
  }),
  ask({ passage, question, label, answer }) {
    const gold = label ?? answer
    if (gold === null || gold === undefined) return 'it has neither a label nor an answer'
    return askOnce(`${passage}\nQuestion: ${question}?\nAnswer:`, ['no', 'yes'], Number(gold))
  },
})
