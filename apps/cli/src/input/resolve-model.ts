import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Folder of the model that comes with Espalier. */
export const demoModelDirectory = fileURLToPath(new URL('../../../../models/demo', import.meta.url))

/** `demo` is the bundled model (a folder of that name: `./demo`); everything else is a folder. */
export function resolveModelDirectory(model: string): string {
  return model === 'demo' ? demoModelDirectory : resolve(model)
}
