import { EspalierError, type ModelShape } from '@espalier/contracts'
import type { Database } from './database.js'
import type { Model } from './generated/prisma/client.js'
import { createId } from './ids.js'
import { fromJson, toJson } from './json.js'
import { pageArguments, toPage } from './page.js'
import type { ModelRow } from './records.js'
import type { ModelStore } from './store.js'

export function createModelStore({ client }: Database): ModelStore {
  return {
    async create({ teamId, name, path, shape }) {
      const row = await client.model.upsert({
        where: { teamId_path: { teamId, path } },
        create: { id: createId('mod'), teamId, name, path, shape: toJson(shape) },
        // Who registers a folder again means what lies there now.
        update: { name, shape: toJson(shape), hash: null },
      })
      return toModel(row)
    },

    async get(teamId, id) {
      const row = await client.model.findFirst({ where: { teamId, id } })
      if (row === null) throw new EspalierError('MODEL_NOT_FOUND', `There is no model '${id}'.`, { modelId: id })
      return toModel(row)
    },

    async find(teamId, path) {
      const row = await client.model.findUnique({ where: { teamId_path: { teamId, path } } })
      return row === null ? undefined : toModel(row)
    },

    async list(teamId, page = {}) {
      const { after, ...order } = pageArguments(page)
      const rows = await client.model.findMany({ where: { teamId, ...after }, ...order })
      return toPage(rows, page, toModel)
    },
  }
}

function toModel(row: Model): ModelRow {
  return { ...row, shape: fromJson<ModelShape>(row.shape) }
}
