import { EspalierError } from '@espalier/contracts'
import type { Database } from './database.js'
import type { Model, Prisma } from './generated/prisma/client.js'
import { createId } from './ids.js'
import { fromJson, toJson } from './json.js'
import { pageArguments, toPage } from './page.js'
import type { ModelLocation, ModelRow } from './records.js'
import type { ModelStore } from './store.js'

export function createModelStore({ client }: Database): ModelStore {
  return {
    async create({ teamId, name, shape, ...location }) {
      const row = await client.model.upsert({
        where: whereLocated(teamId, location),
        create: { id: createId('mod'), teamId, name, ...location, shape: toJson(shape) },
        // Who registers a folder again means what lies there now.
        update: 'path' in location ? { name, shape: toJson(shape), hash: null } : { name },
      })
      return toModel(row)
    },

    async get(teamId, id) {
      const row = await client.model.findFirst({ where: { teamId, id } })
      if (row === null) throw new EspalierError('MODEL_NOT_FOUND', `There is no model '${id}'.`, { modelId: id })
      return toModel(row)
    },

    async find(teamId, location) {
      const row = await client.model.findUnique({ where: whereLocated(teamId, location) })
      return row === null ? undefined : toModel(row)
    },

    async list(teamId, page = {}) {
      const { after, ...order } = pageArguments(page)
      const rows = await client.model.findMany({ where: { teamId, ...after }, ...order })
      return toPage(rows, page, toModel)
    },
  }
}

function whereLocated(teamId: string, location: ModelLocation): Prisma.ModelWhereUniqueInput {
  if ('path' in location) return { teamId_path: { teamId, path: location.path } }
  return { teamId_source_revision: { teamId, source: location.source, revision: location.revision } }
}

/** The table's constraint says that a row has a path, or a source and its revision. */
function toModel(row: Model): ModelRow {
  return fromJson<ModelRow>(row)
}
