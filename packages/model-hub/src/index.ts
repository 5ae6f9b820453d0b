export type { SourceFile } from './fetch-files.js'
export { type DownloadProgress, defaultEndpoint, type ModelHubOptions } from './model-hub-options.js'
export { type OutlinedModelSource, outlineModelSource, pinModelSource } from './outline-model-source.js'
export { isRemoteSource } from './parse-model-source.js'
export {
  type ResolvedDataFile,
  type ResolvedModelSource,
  resolveDataFile,
  resolveModelSource,
} from './resolve-model-source.js'
