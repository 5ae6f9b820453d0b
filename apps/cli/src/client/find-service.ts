import { readFile } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { type Configuration, childEnvironment, loadConfiguration } from '@espalier/runtime'
import { findServiceFile, serviceFilesOf } from '../service/service-home.js'
import { type ApiClient, createApiClient } from './api-client.js'

/** The configuration of the environment, with the home that the command line names, if any. */
export function configurationFor(home: string | undefined): Configuration {
  return loadConfiguration(childEnvironment(home === undefined ? {} : { ESPALIER_HOME: home }))
}

/**
 * The service that runs: the one of ESPALIER_URL, else the one of the home.
 * @returns undefined when none answers
 * @throws EspalierError CONFIGURATION_INVALID when ESPALIER_URL is set and there is no key
 */
export async function findService(configuration: Configuration): Promise<ApiClient | undefined> {
  const url = configuration.url ?? (await findServiceFile(configuration.home))?.url
  if (url === undefined) return undefined
  const keyFile = serviceFilesOf(configuration.home).adminKey
  const key = configuration.apiKey ?? (await readFile(keyFile, 'utf8').catch(() => '')).trim()
  if (key === '') {
    throw new EspalierError(
      'CONFIGURATION_INVALID',
      `There is no API key for ${url}: set ESPALIER_API_KEY, or use the home that has ${keyFile}`,
      { url },
    )
  }
  const client = createApiClient({ url, key })
  if (await client.isAlive()) return client
  if (configuration.url === null) return undefined
  throw new EspalierError('SERVICE_NOT_RUNNING', `Nothing answers at ESPALIER_URL ${url}`, { url })
}

/** @throws EspalierError SERVICE_NOT_RUNNING */
export async function getService(configuration: Configuration): Promise<ApiClient> {
  const client = await findService(configuration)
  if (client !== undefined) return client
  throw new EspalierError(
    'SERVICE_NOT_RUNNING',
    `No service of ${configuration.home} answers: start one with \`espalier up\`, or set ESPALIER_URL and ESPALIER_API_KEY`,
    { home: configuration.home },
  )
}
