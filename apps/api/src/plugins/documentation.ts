import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import type { Api } from '../api.js'
import { keepUsedSchemas } from './keep-used-schemas.js'

const description = `Searches which attention heads and feed-forward channels of a language model to remove so that perplexity suffers least.

Every address below \`/v1\` needs an API key (\`Authorization: Bearer esp_…\`) and shows only what belongs to the key's team. Lists are paged: \`limit\` and \`cursor\` in, \`items\` and \`nextCursor\` out. Every error is \`application/problem+json\` (RFC 9457) with a \`code\`; \`/problems/{type}\` explains it.`

/** OpenAPI 3.1 from the schemas of the routes, to be registered before them. */
export async function addDocumentation(api: Api, version: string): Promise<void> {
  await api.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Espalier', version, description, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
      tags: [
        { name: 'models', description: 'Models to be pruned' },
        { name: 'searches', description: 'Searches for the best policies, and what they found' },
        { name: 'workers', description: 'Who does the work' },
        { name: 'service', description: 'The service itself; no key needed' },
      ],
      components: {
        securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'An API key, esp_…' } },
      },
    },
    transform: jsonSchemaTransform,
    transformObject: (document) => keepUsedSchemas(jsonSchemaTransformObject(document)),
  })
  await api.register(swaggerUi, {
    routePrefix: '/docs',
    // as the default of the plugin, without the upgrade to TLS that a service on plain HTTP does not have
    staticCSP:
      "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    uiConfig: { deepLinking: true, persistAuthorization: true },
  })
}
