import { type ModelIdentity, refuseConfig } from '../parse-model-config.js'
import type { ArchitectureDescription } from './architecture.js'
import { gemma2 } from './gemma2.js'
import { gemma3 } from './gemma3.js'
import { llama } from './llama.js'
import { mistral } from './mistral.js'
import { phi3 } from './phi3.js'
import { qwen2 } from './qwen2.js'
import { qwen3 } from './qwen3.js'

const descriptions: readonly ArchitectureDescription[] = [llama, mistral, qwen2, qwen3, phi3, gemma2, gemma3]

/**
 * The description of the architecture that config.json names.
 *
 * @throws EspalierError MODEL_UNSUPPORTED_ARCHITECTURE, also for another head, activation or quantised weights
 */
export function getArchitecture(config: ModelIdentity): ArchitectureDescription {
  const unsupported = 'MODEL_UNSUPPORTED_ARCHITECTURE'
  const description = descriptions.find(({ name }) => name === config.model_type)
  if (!description) {
    const supported = descriptions.map(({ name }) => name)
    throw refuseConfig('model_type', supported, config.model_type, unsupported)
  }
  if (config.architectures && !config.architectures.includes(description.className)) {
    throw refuseConfig('architectures', [description.className], config.architectures, unsupported)
  }
  const { activation, activationField } = description
  const named = config[activationField] ?? activation
  if (named !== activation) throw refuseConfig(activationField, activation, named, unsupported)
  if (config.quantization_config != null) {
    throw refuseConfig(
      'quantization_config',
      'none (weights F32, F16 or BF16)',
      config.quantization_config,
      unsupported,
    )
  }
  return description
}
