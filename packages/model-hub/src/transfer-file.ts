import { constants } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { EspalierError } from '@espalier/contracts'
import { describeDiskFailure } from './check-disk-space.js'
import type { RequestOrigin } from './check-status.js'
import { checkStatus } from './check-status.js'
import type { HubSettings } from './model-hub-options.js'
import { type OpenResponse, openResponse } from './open-response.js'
import { retryTransient, TransientFailure } from './transient-failure.js'

export interface TransferRequest {
  readonly url: string
  readonly origin: RequestOrigin
  readonly token: string | null
  /** Where bytes are collected; what is there already is not asked for again. */
  readonly incomplete: string
  /** null: the first answer says it, or nobody. */
  readonly bytes: number | null
  /**
   * `always`: the address can only ever give the same bytes. Else the ETag of what is in `incomplete`: a range is
   * asked for on condition of it; null: unknown, start over.
   */
  readonly resume: 'always' | { readonly etag: string | null }
  /** Sent as long as nothing has arrived, as `If-None-Match`. */
  readonly knownEtag?: string
  /** Bytes that arrived; negative when they are thrown away. */
  readonly onBytes: (change: number) => void
  /** Told of every answer that begins a file. */
  readonly onStart?: (start: { readonly etag: string | null; readonly bytes: number | null }) => Promise<void>
}

/**
 * Downloads into a partial file until it is whole, resuming by Range after every cut. Bytes are written where they
 * belong, so that two processes at the same file do no harm to each other.
 *
 * @returns false when the server says that `knownEtag` is still right
 * @throws EspalierError MODEL_DOWNLOAD_FAILED, MODEL_ACCESS_DENIED, MODEL_NOT_FOUND, MODEL_DISK_FULL,
 *   MODEL_CHECKSUM_MISMATCH when more bytes come than there should be; the reason of the signal
 */
export async function transferFile(request: TransferRequest, settings: HubSettings): Promise<boolean> {
  const handle = await open(request.incomplete, constants.O_RDWR | constants.O_CREAT, 0o644)
  try {
    const transfer = new Transfer(request, settings, handle, (await handle.stat()).size)
    return await retryTransient(
      () => transfer.attempt(),
      request.origin.what,
      settings,
      () => transfer.position,
    )
  } catch (error) {
    throw describeDiskFailure(error, request.incomplete)
  } finally {
    await handle.close()
  }
}

class Transfer {
  position: number
  readonly #request: TransferRequest
  readonly #settings: HubSettings
  readonly #handle: FileHandle
  #bytes: number | null
  #etag: string | null

  constructor(request: TransferRequest, settings: HubSettings, handle: FileHandle, size: number) {
    this.#request = request
    this.#settings = settings
    this.#handle = handle
    this.#bytes = request.bytes
    this.#etag = request.resume === 'always' ? null : request.resume.etag
    this.position = size
    request.onBytes(size)
  }

  async attempt(): Promise<boolean> {
    if (this.#bytes !== null && this.position > this.#bytes) await this.#startOver()
    if (this.#bytes !== null && this.position === this.#bytes) return true
    if (this.position > 0 && this.#request.resume !== 'always' && this.#etag === null) await this.#startOver()
    const { url, token } = this.#request
    const response = await openResponse(
      { method: 'GET', url, token, follow: 'all', headers: this.#conditions() },
      this.#settings,
    )
    try {
      return await this.#receive(response)
    } finally {
      response.close()
    }
  }

  #conditions(): Record<string, string> {
    const { knownEtag } = this.#request
    if (this.position === 0) return knownEtag === undefined ? {} : { 'if-none-match': knownEtag }
    return { range: `bytes=${this.position}-`, ...(this.#etag === null ? {} : { 'if-range': this.#etag }) }
  }

  async #receive(response: OpenResponse): Promise<boolean> {
    if (response.status === 416 && this.position > 0) {
      await this.#startOver()
      throw new TransientFailure('the server refuses the range asked for')
    }
    checkStatus(response, this.#request.origin)
    if (response.status === 304) return false
    if (response.status === 206) await this.#checkRange(response.headers)
    else await this.#begin(response)
    for await (const chunk of response.chunks()) await this.#write(chunk)
    if (this.#bytes !== null && this.position < this.#bytes) {
      throw new TransientFailure(`the connection ended at ${this.position} of ${this.#bytes} bytes`)
    }
    return true
  }

  /** An answer with the whole file: from its first byte, whatever was asked for. */
  async #begin({ headers }: OpenResponse): Promise<void> {
    await this.#startOver()
    const etag = headers.get('etag')
    // A weak ETag says "much the same", which is not enough to join two pieces.
    this.#etag = etag === null || etag.startsWith('W/') ? null : etag
    const length = headers.has('content-encoding') ? null : headers.get('content-length')
    if (this.#request.bytes === null) this.#bytes = length === null ? null : Number(length)
    await this.#request.onStart?.({ etag, bytes: this.#bytes })
  }

  async #checkRange(headers: Headers): Promise<void> {
    const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? []
    const isTotalRight = total === '*' || this.#bytes === null || Number(total) === this.#bytes
    if (Number(first) === this.position && isTotalRight && !headers.has('content-encoding')) {
      if (this.#bytes === null && total !== '*') this.#bytes = Number(total)
      return
    }
    await this.#startOver()
    throw new TransientFailure(`the server gave another range (${headers.get('content-range')}) than asked for`)
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (this.#bytes !== null && this.position + chunk.byteLength > this.#bytes) await this.#refuseExcess()
    for (let done = 0; done < chunk.byteLength; ) {
      const { bytesWritten } = await this.#handle.write(chunk, done, chunk.byteLength - done, this.position + done)
      done += bytesWritten
    }
    this.position += chunk.byteLength
    this.#request.onBytes(chunk.byteLength)
  }

  async #refuseExcess(): Promise<never> {
    const { what } = this.#request.origin
    await rm(this.#request.incomplete, { force: true })
    throw new EspalierError(
      'MODEL_CHECKSUM_MISMATCH',
      `${what}: expected ${this.#bytes} bytes, the server sends more`,
      {
        source: what,
        expected: this.#bytes,
      },
    )
  }

  async #startOver(): Promise<void> {
    if (this.position === 0) return
    this.#request.onBytes(-this.position)
    this.position = 0
    await this.#handle.truncate(0)
  }
}
