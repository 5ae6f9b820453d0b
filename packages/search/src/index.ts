export { minimumBudget } from './plan-budget.js'
export { planNextSteps } from './plan-next-steps.js'
