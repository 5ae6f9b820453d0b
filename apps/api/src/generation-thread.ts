import { readFileSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'
import { recordError } from '@espalier/contracts'
import type { GenerationAnswer, GenerationRequest } from './generation/generation-messages.js'
import { GeneratorCache } from './generation/generator-cache.js'

/** Reading the generator of a large model takes a second and a policy some milliseconds: here, beside the event loop. */
const generators = new GeneratorCache((path) => readFileSync(path, 'utf8'))

function answer({ id, path, sparsities }: GenerationRequest): GenerationAnswer {
  try {
    return { id, generation: generators.get(path).generate(sparsities) }
  } catch (error) {
    return { id, error: recordError(error) }
  }
}

parentPort?.on('message', (request: GenerationRequest) => parentPort?.postMessage(answer(request)))
