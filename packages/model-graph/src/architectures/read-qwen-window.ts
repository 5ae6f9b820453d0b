import type { RawModelConfig } from '../parse-model-config.js'

/** The window of a config.json that does not mention one (transformers, configuration_qwen2.py). */
const defaultSlidingWindow = 4096

/**
 * The sliding window of Qwen2 and Qwen3, null when no layer uses it: `use_sliding_window` switches it on, for the
 * layers that `layer_types` names, or else for those from `max_window_layers` on.
 */
export function readQwenWindow(config: RawModelConfig): number | null {
  if (!config.use_sliding_window) return null
  const window = config.sliding_window === undefined ? defaultSlidingWindow : config.sliding_window
  const used = config.layer_types
    ? config.layer_types.includes('sliding_attention')
    : config.max_window_layers < config.num_hidden_layers
  return used ? window : null
}
