import type { Api } from '../../api.js'

/** The OpenAPI document; no key needed. It does not list itself. */
export function addOpenApiDocument(api: Api): void {
  api.get('/openapi.json', { schema: { hide: true } }, async () => api.swagger())
}
