import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { fastify } from 'fastify'
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Api } from './api.js'
import { addClosing } from './plugins/closing.js'
import { addDocumentation } from './plugins/documentation.js'
import { addJsonBody } from './plugins/json-body.js'
import { addProblems, sendProblem } from './plugins/problems.js'
import { addProtection } from './plugins/protection.js'
import { answerClientError } from './problems/client-error.js'
import { addHealthRoutes } from './routes/service/health.js'
import { addOpenApiDocument } from './routes/service/openapi-document.js'
import { addProblemTypeRoute } from './routes/service/problem-types.js'
import { addV1Routes } from './routes/v1-routes.js'
import type { ApiServices } from './services.js'

/** Largest JSON body, bytes. Policy files of the largest models, with all their indices, are about half of it. */
const maxBodyBytes = 1024 * 1024

/** Longest part of an address: names of files in pruned models. */
const maxParamLength = 300

/** Builds the API without listening: for the server, for tests (`inject`) and for its OpenAPI document. */
export async function createApp(services: ApiServices, logger: FastifyBaseLogger): Promise<Api> {
  const api: Api = fastify({
    loggerInstance: logger,
    genReqId: () => randomUUID(),
    bodyLimit: maxBodyBytes,
    handlerTimeout: services.requestTimeoutMs,
    routerOptions: { maxParamLength },
    // what comes in while the service stops is still answered
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    frameworkErrors: (error, request, reply) => sendProblem(error, request, reply),
  }).withTypeProvider<ZodTypeProvider>()
  api.setValidatorCompiler(validatorCompiler)
  api.setSerializerCompiler(serializerCompiler)
  api.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
  })
  addClosing(api)
  addProblems(api)
  addJsonBody(api)
  await addProtection(api)
  await addDocumentation(api, services.version)
  addHealthRoutes(api, services)
  addProblemTypeRoute(api)
  addOpenApiDocument(api)
  await api.register(async (v1: Api) => addV1Routes(v1, services), { prefix: '/v1' })
  return api
}
