import { z } from 'zod'
import { strip } from '../python-strings.js'
import { defineTask } from '../task.js'

/**
 * WinoGrande (Sakaguchi et al. 2019), rows as in allenai/winogrande. Partial evaluation: the options fill the blank of the
 * prompt, and the likelihood asked for is that of what follows, the same for both.
 * Source: lm_eval/tasks/winogrande/default.yaml and preprocess_winogrande.py of lm-evaluation-harness.
 */
export const winogrande = defineTask({
  name: 'winogrande',
  split: 'validation',
  metrics: ['acc'],
  document: z.object({
    sentence: z.string(),
    option1: z.string(),
    option2: z.string(),
    answer: z.enum(['1', '2'], 'holds no answer; test splits do not'),
  }),
  ask({ sentence, option1, option2, answer }) {
    const blank = sentence.indexOf('_')
    if (blank < 0) return 'the sentence has no blank "_"'
    const rest = strip(sentence.slice(blank + 1))
    if (rest === '') return 'nothing follows the blank "_"'
    const contexts = [option1, option2].map((option) => sentence.slice(0, blank) + option)
    return {
      gold: Number(answer) - 1,
      choices: contexts.map((context) => ({ context, continuation: ` ${rest}`, answer: context })),
    }
  },
})
