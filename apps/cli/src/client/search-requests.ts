import {
  type ArtifactResource,
  artifactPageSchema,
  type CreateSearchBody,
  type GeneratedPoliciesResource,
  generatedPoliciesSchema,
  modelSchema,
  type SearchDetailResource,
  type SearchFront,
  type SearchResource,
  searchDetailSchema,
  searchFrontSchema,
  searchPageSchema,
  searchSchema,
} from '@espalier/contracts'
import type { SubmittedModel } from '../input/fetch-sources.js'
import type { ApiClient } from './api-client.js'

const pathOf = (id: string) => `/v1/searches/${encodeURIComponent(id)}`

export function getSearch(client: ApiClient, id: string, signal?: AbortSignal): Promise<SearchDetailResource> {
  return client.get(pathOf(id), searchDetailSchema, signal)
}

/** All searches, oldest first. */
export async function listSearches(client: ApiClient): Promise<SearchResource[]> {
  const searches: SearchResource[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const after: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const page = await client.get(`/v1/searches?limit=200${after}`, searchPageSchema)
    searches.push(...page.items)
    cursor = page.nextCursor
  }
  return searches
}

export function controlSearch(
  client: ApiClient,
  id: string,
  action: 'cancel' | 'pause' | 'resume',
): Promise<SearchResource> {
  return client.post(`${pathOf(id)}/${action}`, {}, searchSchema)
}

export function generatePolicies(
  client: ApiClient,
  id: string,
  sparsities: readonly number[],
): Promise<GeneratedPoliciesResource> {
  return client.post(`${pathOf(id)}/policies:generate`, { sparsities }, generatedPoliciesSchema)
}

/** Registers the model and submits a search of it. */
export async function submitSearch(
  client: ApiClient,
  submitted: SubmittedModel,
  search: Omit<CreateSearchBody, 'model'>,
): Promise<SearchResource> {
  const model = await client.post('/v1/models', submitted, modelSchema)
  return client.post('/v1/searches', { ...search, model: model.id }, searchSchema)
}

export function getFront(client: ApiClient, id: string): Promise<SearchFront> {
  return client.get(`${pathOf(id)}/front`, searchFrontSchema)
}

export async function listArtifacts(client: ApiClient, id: string): Promise<readonly ArtifactResource[]> {
  return (await client.get(`${pathOf(id)}/artifacts?limit=200`, artifactPageSchema)).items
}
