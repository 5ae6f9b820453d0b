import type { ArchitectureDescription } from './architecture.js'
import { llamaDecoder, readLlamaTraits } from './llama-decoder.js'
import { readWindows } from './read-windows.js'

/**
 * Phi-3: Mistral with q, k and v stored as one tensor, and gate and up as another; no window unless config.json
 * gives one. Source: transformers, modeling_phi3.py.
 */
export const phi3: ArchitectureDescription = {
  ...llamaDecoder,
  name: 'phi3',
  className: 'Phi3ForCausalLM',
  fusedProjections: true,
  readTraits: (config) => ({
    ...readLlamaTraits(config),
    windows: readWindows({ ...config, layer_types: null }, null, () => true),
  }),
}
