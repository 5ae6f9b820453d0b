import type { ProposeResult } from '@espalier/contracts'
import type { ArtifactStore } from '@espalier/runtime'
import type { Lease, Store } from '@espalier/store'
import { createGeneratorFile } from './create-generator-file.js'
import type { Proposer } from './create-proposer.js'

/** What the processor of this worker needs. */
export interface AgentContext {
  readonly store: { readonly predictors: Pick<Store['predictors'], 'loadParameters'> }
  readonly proposer: Proposer
  readonly artifacts: Pick<ArtifactStore, 'putBytes'>
}

/**
 * Proposes policies for every target of a search. The policy network is trained anew each round: what it proposes then
 * depends on the search alone, not on which worker had the round before. What policies of any sparsity can be generated
 * from is stored with the search.
 */
export async function processPropose(
  { store, proposer, artifacts }: AgentContext,
  lease: Lease<'propose'>,
  { signal }: { readonly signal: AbortSignal },
) {
  const started = performance.now()
  const { searchId, round, payload, settings, model } = lease
  const { agent, targets, constraints, seed } = settings
  const predictor = agent === 'network' ? await store.predictors.loadParameters(searchId, round) : null
  const { count, draws, incumbents, explores, drifted, latencies } = payload
  const rules = { targets, constraints, latencies }
  const wanted = { count, draws, incumbents, explores, drifted }
  const request = { agent, shape: model.shape, predictor, ...rules, ...wanted, seed, round }
  const proposal = await proposer.propose(request, signal)
  const file = createGeneratorFile(lease, predictor, proposal)
  const generator = file && (await artifacts.putBytes(Buffer.from(JSON.stringify(file))))
  const result: ProposeResult = {
    targets: proposal.targets,
    backend: proposal.backend,
    seconds: (performance.now() - started) / 1000,
  }
  return { result, effects: { generator } }
}
