export type { Processor, Processors, StepContext, StepOutcome } from './processor.js'
export { runStepWorker, type StepWorkerOptions } from './run-step-worker.js'
