import type { RawModelConfig } from '../parse-model-config.js'
import { readWindows } from './read-windows.js'

/** The window of a config.json that does not mention one (transformers, configuration_qwen2.py). */
const defaultSlidingWindow = 4096

/**
 * The windows of Qwen2 and Qwen3: `use_sliding_window` switches them on, for the layers that `layer_types` names, or
 * else for those from `max_window_layers` on.
 */
export function readQwenWindows(config: RawModelConfig): readonly (number | null)[] {
  return readWindows(
    config.use_sliding_window ? config : { ...config, sliding_window: null },
    defaultSlidingWindow,
    (layer) => layer >= config.max_window_layers,
  )
}
