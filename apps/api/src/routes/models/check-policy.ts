import {
  type CheckedPolicy,
  checkedPolicySchema,
  checkPolicyBodySchema,
  idParamsSchema,
  type PolicyFile,
} from '@espalier/contracts'
import { createPrunableModel, keptParametersOf, rankUnits, resolvePolicyFile } from '@espalier/pruning'
import type { ModelRow } from '@espalier/store'
import type { Api } from '../../api.js'
import { teamOf } from '../../plugins/authentication.js'
import type { ApiServices } from '../../services.js'
import { jsonAnswer, problemAnswers } from '../answers.js'

export function addCheckPolicy(api: Api, { store }: ApiServices): void {
  api.post(
    '/models/:id/policies/check',
    {
      schema: {
        tags: ['models'],
        summary: 'Check a policy file against a model and learn its sparsity',
        params: idParamsSchema,
        body: checkPolicyBodySchema,
        response: { 200: jsonAnswer('The policy fits the model', checkedPolicySchema), ...problemAnswers },
      },
    },
    async (request) => checkPolicy(request.body, await store.models.get(teamOf(request), request.params.id)),
  )
}

function checkPolicy(file: PolicyFile, row: ModelRow): CheckedPolicy {
  const model = createPrunableModel(row.shape)
  // how many units a policy keeps does not depend on which: any ranking will do
  const anyRanking = model.modules.map(({ units }) => rankUnits(new Float64Array(units)))
  const { kept, sparsity } = resolvePolicyFile(file, model, anyRanking, row.hash ?? undefined)
  return {
    sparsity,
    keptParameters: keptParametersOf(model, kept),
    prunableParameters: model.prunableParameters,
    keptUnits: [...kept],
    modelHashChecked: file.modelHash !== undefined && row.hash !== null,
  }
}
