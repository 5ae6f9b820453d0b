export { checkElimination, widestInputsOf } from './check-elimination.js'
export type { RowStorage } from './cholesky-panels.js'
export { dotTile, packedLength, rowStart } from './cholesky-rows.js'
export { AllowedPolicies } from './constraints/allowed-policies.js'
export {
  checkPolicyRules,
  createPolicyRules,
  type PolicyRules,
  type PolicyTarget,
  plainPolicyRules,
  type RuleSettings,
} from './constraints/policy-rules.js'
export { contextLengthOf, costOf, createResourceCost } from './constraints/resource-cost.js'
export { eliminationErrors } from './elimination-errors.js'
export { hashUnits } from './hash-units.js'
export {
  type ChannelMetric,
  channelImportance,
  type ModuleStatistics,
  rankModules,
  unitImportance,
} from './importance.js'
export {
  factorLeastSquares,
  factorLeastSquaresInto,
  type LeastSquaresFactor,
  type LeastSquaresProblem,
  leastSquaresBias,
  type SolutionLevels,
  type StoredLeastSquaresFactor,
  solveLeastSquares,
  solveStoredLeastSquares,
} from './least-squares.js'
export { inputChannelsOf, keptUnitsOf, type MaskMatrix, maskMatrix } from './masks.js'
export { meanCompensationBias } from './mean-compensation.js'
export { createPolicyFile, needsRanking, type ResolvedPolicy, resolvePolicyFile } from './policy-file.js'
export { projectToSparsity } from './project-to-sparsity.js'
export { createPrunableModel, nameOfModule, type PrunableModel, type PruningModule } from './prunable-model.js'
export { createRandomGenerator, type RandomGenerator } from './random-generator.js'
export { randomPolicy } from './random-policy.js'
export { type KeptIndices, rankUnits, selectKeptIndices, type UnitRanking } from './rank-units.js'
export { remember } from './remember.js'
export { checkKeptUnits, denseUnits, keptParametersOf, sparsityOf } from './sparsity.js'
export { maximumSparsityOf, minimumUnitsOf, parametersToRemove } from './sparsity-budget.js'
export { uniformPolicy } from './uniform-policy.js'
