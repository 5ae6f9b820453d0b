import { EspalierError } from '@espalier/contracts'
import type { Task } from './task.js'
import { arcChallenge, arcEasy } from './tasks/arc.js'
import { boolq } from './tasks/boolq.js'
import { hellaswag } from './tasks/hellaswag.js'
import { piqa } from './tasks/piqa.js'
import { winogrande } from './tasks/winogrande.js'

const tasks: readonly Task[] = [hellaswag, arcEasy, arcChallenge, piqa, winogrande, boolq]

/** The names of lm-evaluation-harness. */
export const taskNames: readonly string[] = tasks.map(({ name }) => name)

/** @throws EspalierError REQUEST_INVALID with the names that there are */
export function getTask(name: string): Task {
  const found = tasks.find((task) => task.name === name)
  if (found !== undefined) return found
  throw new EspalierError('REQUEST_INVALID', `There is no task "${name}"; there are ${taskNames.join(', ')}`, {
    task: name,
    allowed: taskNames,
  })
}
