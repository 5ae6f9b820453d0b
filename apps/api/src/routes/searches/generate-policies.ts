import {
  EspalierError,
  type GeneratedPoliciesResource,
  generatedPoliciesSchema,
  generatePoliciesBodySchema,
  idParamsSchema,
} from '@espalier/contracts'
import { createArtifactStore } from '@espalier/runtime'
import type { GeneratorRow } from '@espalier/store'
import type { Api } from '../../api.js'
import { createPolicyGeneration } from '../../generation/policy-generation.js'
import { teamOf } from '../../plugins/authentication.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

/** Policies for any sparsity, from what a search has learnt. */
export function addGeneratePolicies(api: Api, { store, artifacts }: ApiServices): void {
  const generation = createPolicyGeneration()
  const files = createArtifactStore(artifacts)
  api.addHook('onClose', () => generation.close())

  api.post(
    // two colons are one in the address
    '/searches/:id/policies::generate',
    {
      schema: {
        tags: ['searches'],
        summary: 'Generate policies for any sparsity around the targets',
        description:
          'From the policy network and the predictor of the latest round, in milliseconds, without measuring anything. The same sparsity gives the same policy; of two policies of one round the sparser one is never predicted better. 409 until the first round has trained them, 422 outside the range that they were trained for.',
        params: idParamsSchema,
        body: generatePoliciesBodySchema,
        response: { 200: jsonAnswer('A policy for each sparsity', generatedPoliciesSchema), ...problemAnswers },
      },
    },
    async (request): Promise<GeneratedPoliciesResource> => {
      const { sparsity, sparsities = [] } = request.body
      const { artifact, round } = await latestGenerator(teamOf(request), request.params.id)
      const wanted = sparsity === undefined ? sparsities : [sparsity]
      const { range, policies } = await generation.generate(files.path(artifact), wanted)
      return { search: request.params.id, round, range, policies: [...policies] }
    },
  )

  /** One query where there is a generator: the search itself is only looked at to say why there is none. */
  async function latestGenerator(teamId: string, id: string): Promise<GeneratorRow> {
    const generator = await store.generators.findLatest(teamId, id)
    if (generator) return generator
    const { state, settings } = await store.searches.get(teamId, id)
    const reason =
      settings.agent === 'network'
        ? 'the first round trains it'
        : `its agent is "${settings.agent}"; only "network" trains one`
    throw new EspalierError('GENERATOR_NOT_TRAINED', `Search ${id} is ${state} and has no policy network: ${reason}`, {
      state,
      agent: settings.agent,
    })
  }
}
