import { z } from 'zod'
import { askOnce, defineTask, type Task } from '../task.js'

const document = z.object({
  question: z.string(),
  choices: z.object({ text: z.array(z.string()).min(2), label: z.array(z.string()) }),
  answerKey: z.string(),
})

/**
 * ARC (Clark et al. 2018), rows as in allenai/ai2_arc.
 * Source: lm_eval/tasks/arc/arc_easy.yaml and arc_challenge.yaml of lm-evaluation-harness.
 */
function createArc(name: string): Task {
  return defineTask({
    name,
    split: 'test',
    metrics: ['acc', 'acc_norm'],
    document,
    ask({ question, choices, answerKey }) {
      const { text, label } = choices
      if (label.length !== text.length) return `${text.length} choices have ${label.length} labels`
      const gold = label.indexOf(answerKey)
      if (gold < 0) return `answerKey is "${answerKey}"; the labels are ${label.join(', ')}`
      return askOnce(`Question: ${question}\nAnswer:`, text, gold)
    },
  })
}

export const arcEasy = createArc('arc_easy')
export const arcChallenge = createArc('arc_challenge')
