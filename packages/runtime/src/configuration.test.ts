import { homedir } from 'node:os'
import { join } from 'node:path'
import { EspalierError } from '@espalier/contracts'
import { describe, expect, it } from '@jest/globals'
import { loadConfiguration } from './configuration.js'

function errorOf(environment: NodeJS.ProcessEnv): EspalierError {
  try {
    loadConfiguration(environment)
  } catch (error) {
    if (error instanceof EspalierError) return error
    throw error
  }
  throw new Error('the environment was accepted')
}

describe('loadConfiguration', () => {
  it('has a default for everything, and keeps artefacts under the home', () => {
    const config = loadConfiguration({ ESPALIER_HOME: '/data/espalier', DATABASE_URL: '' })
    expect(config).toMatchObject({
      databaseUrl: null,
      redisUrl: null,
      home: '/data/espalier',
      artifacts: '/data/espalier/artifacts',
      port: null,
      host: '127.0.0.1',
      logLevel: 'info',
      leaseMs: 5000,
      ci: false,
    })
    expect(config.node).not.toBe('')
  })

  it('reads what is given', () => {
    const config = loadConfiguration({ PORT: '0', ESPALIER_THREADS: '3', ESPALIER_LEASE_MS: '900', CI: 'true' })
    expect(config).toMatchObject({ port: 0, threads: 3, leaseMs: 900, ci: true })
  })

  it('reads the variables of the hub as its own tools do', () => {
    const { hub } = loadConfiguration({ HF_HOME: '/data/hf', HF_TOKEN: 'hf_x\n', HF_HUB_OFFLINE: 'YES' })
    expect(hub).toEqual({
      ...{ home: '/data/hf', token: 'hf_x', endpoint: 'https://huggingface.co' },
      ...{ offline: true, symlinks: true },
    })
    expect(loadConfiguration({ XDG_CACHE_HOME: '/cache' }).hub.home).toBe('/cache/huggingface')
    expect(loadConfiguration({ HF_HUB_OFFLINE: '0', HF_HOME: '~/hf' }).hub).toMatchObject({
      ...{ offline: false, home: join(homedir(), 'hf') },
    })
  })

  it.each([
    ['PORT', '70000'],
    ['PORT', '8o80'],
    ['ESPALIER_THREADS', '0'],
    ['ESPALIER_WEIGHTS', 'fp16'],
    ['ESPALIER_LEASE_MS', '-1'],
    ['LOG_LEVEL', 'loud'],
    ['ESPALIER_URL', 'localhost:8080'],
    ['HF_ENDPOINT', 'huggingface.co'],
  ])('refuses %s=%s, naming variable and value', (variable, value) => {
    const error = errorOf({ [variable]: value })
    expect(error.code).toBe('CONFIGURATION_INVALID')
    expect(error.message).toContain(variable)
    expect(error.message).toContain(`"${value}"`)
    expect(error.details).toEqual({ variable, value })
  })

  it.each([
    ['DATABASE_URL', 'mysql://root:hunter2@db/x'],
    ['REDIS_URL', 'http://:hunter2@cache'],
    ['ESPALIER_API_KEY', 'hunter2'],
    ['HF_TOKEN', 'hf hunter2'],
  ])('never shows the value of %s', (variable, value) => {
    const error = errorOf({ [variable]: value })
    expect(error.message).toContain(variable)
    expect(JSON.stringify([error.message, error.details])).not.toContain('hunter2')
  })
})
