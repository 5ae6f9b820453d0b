import { type RawModelConfig, refuseConfig } from '../parse-model-config.js'

const slidingType = 'sliding_attention'
const layerTypes = [slidingType, 'full_attention']

/**
 * The sliding window of every layer, null where there is none: `sliding_window` in the layers that `layer_types`
 * says, or else in those that `isWindowed` says. A layer with window w sees its own position and the w - 1 before it.
 *
 * @param defaultWindow where config.json does not mention `sliding_window`
 * @throws EspalierError MODEL_CONFIG_INVALID, MODEL_UNSUPPORTED_ARCHITECTURE (another type of layer)
 */
export function readWindows(
  config: RawModelConfig,
  defaultWindow: number | null,
  isWindowed: (layer: number) => boolean,
): readonly (number | null)[] {
  const { layer_types: types, num_hidden_layers: layers } = config
  const window = config.sliding_window === undefined ? defaultWindow : config.sliding_window
  const unknown = types?.find((type) => !layerTypes.includes(type))
  if (unknown !== undefined) throw refuseConfig('layer_types', layerTypes, unknown, 'MODEL_UNSUPPORTED_ARCHITECTURE')
  if (types && types.length !== layers) throw refuseConfig('layer_types', `${layers} entries`, types.length)
  return Array.from({ length: layers }, (_, layer) =>
    (types ? types[layer] === slidingType : isWindowed(layer)) ? window : null,
  )
}
