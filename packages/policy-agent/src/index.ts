export type { PolicyNetworkCheckpoint } from './policy-network.js'
export { type Proposal, type ProposeTask, proposePolicies } from './propose-policies.js'
export type { SearchEffort } from './search-effort.js'
export { tensorBackendName } from './tensor-backend.js'
