import type { DownloadProgress } from './model-hub-options.js'

/** Rates are those of the last seconds, so that they follow the connection. */
const rateWindowMs = 10_000
const reportEveryMs = 100

/** Counts what arrives, and reports it a few times a second. */
export class ProgressMeter {
  readonly #source: string
  readonly #report: ((progress: DownloadProgress) => void) | undefined
  readonly #now: () => number
  #bytesDone = 0
  #bytesTotal: number | null = 0
  #filesDone = 0
  #files = 0
  #arrived = 0
  #samples: { readonly at: number; readonly arrived: number }[] = []
  #reportedAt = Number.NEGATIVE_INFINITY

  constructor(
    source: string,
    report?: (progress: DownloadProgress) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#source = source
    this.#report = report
    this.#now = now
    this.#samples.push({ at: now(), arrived: 0 })
  }

  /** A file to come; null: its size is not known. */
  expect(bytes: number | null): void {
    this.#files++
    this.#bytesTotal = bytes === null || this.#bytesTotal === null ? null : this.#bytesTotal + bytes
  }

  /** Bytes that were on this machine before. */
  skip(bytes: number): void {
    this.#bytesDone += bytes
    this.#tell(false)
  }

  /** Bytes that arrived; negative: thrown away again. */
  add(change: number): void {
    this.#bytesDone += change
    if (change > 0) this.#arrived += change
    this.#tell(false)
  }

  finishFile(): void {
    this.#filesDone++
    this.#tell(this.#filesDone === this.#files)
  }

  get progress(): DownloadProgress {
    const bytesPerSecond = this.#rate()
    const left = this.#bytesTotal === null ? null : Math.max(0, this.#bytesTotal - this.#bytesDone)
    return {
      source: this.#source,
      bytesDone: this.#bytesDone,
      bytesTotal: this.#bytesTotal,
      filesDone: this.#filesDone,
      files: this.#files,
      bytesPerSecond,
      etaSeconds: left === 0 ? 0 : left === null || bytesPerSecond === 0 ? null : left / bytesPerSecond,
    }
  }

  #rate(): number {
    const at = this.#now()
    const first = this.#samples[0]
    if (first === undefined || at <= first.at) return 0
    return ((this.#arrived - first.arrived) / (at - first.at)) * 1000
  }

  #tell(isLast: boolean): void {
    const at = this.#now()
    if (!isLast && at - this.#reportedAt < reportEveryMs) return
    this.#reportedAt = at
    this.#samples.push({ at, arrived: this.#arrived })
    while (this.#samples.length > 2 && at - (this.#samples[1]?.at ?? at) >= rateWindowMs) this.#samples.shift()
    this.#report?.(this.progress)
  }
}
