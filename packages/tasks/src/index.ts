export { type EncodedChoice, type EncodeOptions, encodeQuestions } from './encode-questions.js'
export { getTask, taskNames } from './get-task.js'
export { scoreQuestions, type TaskScore } from './score-questions.js'
export type { Choice, Question, Task, TaskMetric } from './task.js'
