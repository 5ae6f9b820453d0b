import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { EspalierError, showValue } from '@espalier/contracts'
import type { EncodedText, EncodeOptions } from './encode-text.js'

/** What the process is asked: one text without special tokens, or several with them. */
export type TokenizerQuestion =
  | ({ readonly kind: 'encode'; readonly text: string } & EncodeOptions)
  | { readonly kind: 'encodeEach'; readonly texts: readonly string[] }

export type TokenizerReply =
  | { readonly kind: 'loaded'; readonly vocabularySize: number }
  | ({ readonly kind: 'encoded' } & EncodedText)
  | { readonly kind: 'encodedEach'; readonly ids: readonly Int32Array[] }
  | { readonly kind: 'refused'; readonly found: string }

/** What a process that ended without a reply leaves. */
interface Ended {
  readonly kind: 'ended'
  /** Whether somebody else ended it, or it went because it was idle: a fresh one may do better. */
  readonly again: boolean
  readonly found: string
}

const processFile = new URL('../dist/tokenizer-process.js', import.meta.url)
const loadLimitMs = 120_000
/** A hundred times what slow tokenizers take. */
const encodeLimitMs = (characters: number) => 60_000 * (1 + characters / 1e6)
/** Characters of several texts that go in one message. */
const batchCharacters = 1e6
const mostStarts = 3
const stderrCharacters = 2000

/** The parent's end of a tokenizing process. It is started when asked, and never keeps this process alive. */
export class TokenizerClient {
  readonly #file: string
  #running: { readonly child: ChildProcess; readonly stderr: () => string } | null = null
  #last: Promise<unknown> = Promise.resolve()

  constructor(file: string) {
    this.#file = file
  }

  /** Starts the process. @returns tokens of the vocabulary @throws EspalierError MODEL_TOKENIZER_INVALID */
  load(): Promise<number> {
    return this.#inTurn(async () => {
      const reply = await this.#retrying(() => this.#start())
      return reply.kind === 'loaded' ? reply.vocabularySize : this.#refuse(reply)
    })
  }

  /** @throws EspalierError MODEL_TOKENIZER_INVALID, EVALUATION_FAILED when others keep ending the process */
  encode(text: string, options: EncodeOptions): Promise<EncodedText> {
    return this.#inTurn(async () => {
      const reply = await this.#ask({ kind: 'encode', text, ...options }, text.length)
      return reply.kind === 'encoded' ? { ids: reply.ids, byteEnds: reply.byteEnds } : this.#refuse(reply)
    })
  }

  /** Each text by itself, with the special tokens that the tokenizer adds to one. Errors: see `encode`. */
  async encodeEach(texts: readonly string[]): Promise<Int32Array[]> {
    const encoded: Int32Array[] = []
    for (const batch of cutBatches(texts)) {
      const ids = await this.#inTurn(() => this.#encodeBatch(batch))
      for (const each of ids) encoded.push(each)
    }
    return encoded
  }

  async #encodeBatch(texts: readonly string[]): Promise<readonly Int32Array[]> {
    const reply = await this.#ask({ kind: 'encodeEach', texts }, countCharacters(texts))
    return reply.kind === 'encodedEach' ? reply.ids : this.#refuse(reply)
  }

  #ask(question: TokenizerQuestion, characters: number): Promise<TokenizerReply | Ended> {
    return this.#retrying(async () => {
      const started = this.#running === null ? await this.#start() : null
      return started !== null && started.kind !== 'loaded'
        ? started
        : this.#exchange(question, encodeLimitMs(characters))
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined)
    return result
  }

  async #retrying(ask: () => Promise<TokenizerReply | Ended>): Promise<TokenizerReply | Ended> {
    let reply = await ask()
    for (let start = 1; start < mostStarts && reply.kind === 'ended' && reply.again; start++) reply = await ask()
    return reply
  }

  #start(): Promise<TokenizerReply | Ended> {
    const stdio = ['ignore', 'ignore', 'pipe', 'ipc'] as const
    // It reads files of strangers: it gets no environment, and so no keys.
    const env = { RUST_BACKTRACE: '0' }
    const child = fork(processFile, [this.#file], { env, execArgv: [], serialization: 'advanced', stdio: [...stdio] })
    let written = ''
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      written = (written + text).slice(0, stderrCharacters)
    })
    const running = { child, stderr: () => written }
    this.#running = running
    child
      .on('error', () => undefined)
      .once('exit', () => {
        if (this.#running === running) this.#running = null
      })
    return this.#exchange(null, loadLimitMs)
  }

  /** Sends a question, if any, and waits for one reply or the end of the process. */
  async #exchange(question: TokenizerQuestion | null, limitMs: number): Promise<TokenizerReply | Ended> {
    const running = this.#running
    if (running === null) return { kind: 'ended', again: true, found: 'a process that went' }
    const { child, stderr } = running
    const settled = new AbortController()
    const { signal } = settled
    let late = false
    const timer = setTimeout(() => {
      late = child.kill('SIGKILL')
    }, limitMs)
    hold(child, true)
    try {
      const replied = once(child, 'message', { signal }).then(([reply]): TokenizerReply => reply)
      const ended = once(child, 'close', { signal }).then(([code, by]): Ended => {
        if (late) return { kind: 'ended', again: false, found: `one that takes more than ${limitMs / 1000} s` }
        return describeEnd(code, by, stderr())
      })
      if (question !== null) child.send(question, () => undefined)
      return await Promise.race([replied, ended])
    } finally {
      clearTimeout(timer)
      settled.abort()
      hold(child, false)
    }
  }

  #refuse(reply: TokenizerReply | Ended): never {
    const found = showValue(reply.kind === 'refused' || reply.kind === 'ended' ? reply.found : reply.kind)
    const expected = 'a tokenizer of Hugging Face'
    const details = { file: this.#file, expected, found }
    if (reply.kind === 'ended' && reply.again) {
      throw new EspalierError('EVALUATION_FAILED', `The process that tokenises was ended from outside`, details)
    }
    const message = `${this.#file}: expected ${expected}, found: ${found}`
    throw new EspalierError('MODEL_TOKENIZER_INVALID', message, details)
  }
}

function countCharacters(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0)
}

function cutBatches(texts: readonly string[]): string[][] {
  const batches: string[][] = []
  let characters = Number.POSITIVE_INFINITY
  for (const text of texts) {
    if (characters + text.length > batchCharacters) {
      batches.push([])
      characters = 0
    }
    batches.at(-1)?.push(text)
    characters += text.length
  }
  return batches
}

/** Signals that a process gives itself when its code fails. */
const own: readonly (string | null)[] = ['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP']

function describeEnd(code: number | null, signal: NodeJS.Signals | null, stderr: string): Ended {
  const again = code === 0 || (signal !== null && !own.includes(signal))
  const said = stderr
    .replace(/stack backtrace:[\s\S]*/, '')
    .replace(/\s+/g, ' ')
    .trim()
  return { kind: 'ended', again, found: `one that crashes the library (${signal ?? `exit code ${code}`}): ${said}` }
}

/** While a reply is awaited the child keeps this process alive, else not. */
function hold(child: ChildProcess, wanted: boolean): void {
  const parts = [child, child.channel, child.stderr instanceof Socket ? child.stderr : null]
  for (const part of parts) {
    if (wanted) part?.ref()
    else part?.unref()
  }
}
