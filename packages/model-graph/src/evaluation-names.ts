/** Names of the inputs of the evaluation graph; module order as everywhere. */
export const evaluationInputs = {
  /** int64 [B, T] */
  ids: 'input_ids',
  /** int64 [units kept], sorted. */
  kept: (module: number) => `kept_${module}`,
  /** float [hidden, input channels kept]: stands in for the kept columns of o_proj or down_proj; no columns: they stay. */
  outputWeight: (module: number) => `output_weight_${module}`,
  /** float [layers, queryHeads x headDim]: mean input of o_proj over the calibration tokens; zeros: no compensation. */
  attentionMeans: 'attention_means',
  /** float [layers, ffnChannels]: the same for down_proj. */
  ffnMeans: 'ffn_means',
  /** float [2 x layers, hidden]: W times the mean input; zeros: no compensation. */
  outputMeans: 'output_means',
  /** float [B x (T - 1), hidden]: `hidden` of the model that `kl` and `agrees` compare with; no rows: no comparison. */
  referenceHidden: 'reference_hidden',
  /** int64 []: the first module that is computed. */
  firstModule: 'first_module',
  /** float [B, T, hidden]: the state before `firstModule`, see `evaluationOutputs`; no windows if that is 0. */
  resumedState: 'resumed_state',
  /** int64 [2 x layers]: of how many windows the state before each module is wanted, all B or none. */
  stateWindows: 'state_windows',
} as const

/** Names of the outputs of the evaluation graph; one value a predicted token, B x (T - 1), see `addTokenLikelihood`. */
export const evaluationOutputs = {
  nll: 'nll',
  hidden: 'hidden',
  kl: 'kl',
  agrees: 'agrees',
  /** float [windows wanted, T, hidden]: the residual stream before a module; there is none of module 0. */
  state: (module: number) => `state_${module}`,
} as const
