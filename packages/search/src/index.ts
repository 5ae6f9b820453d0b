export { chooseCompensation } from './choose-method.js'
export { type BudgetPlan, type BudgetSettings, minimumBudget, planBudget } from './plan-budget.js'
export { planNextSteps } from './plan-next-steps.js'
export { searchFront } from './search-front.js'
