import type { LeaseKey } from '@espalier/store'
import { InferenceSession } from 'onnxruntime-node'

/** What names a predictor: the claim of the train step whose result it is. */
type PredictorClaim = Pick<LeaseKey, 'stepId' | 'fencingToken'>

/**
 * The predictor that this worker trained or scored by last, ready to score. A predictor of many layers has tens of
 * megabytes, and mostly who trained it scores by it next. One that was trained under a claim that lost its lease is named
 * by that claim, so nobody asks for it. For one step at a time: keeping the next predictor releases the one before.
 */
export class KeptPredictor {
  #claim: PredictorClaim | undefined
  #session: InferenceSession | undefined

  find({ stepId, fencingToken }: PredictorClaim): InferenceSession | undefined {
    const isKept = this.#claim?.stepId === stepId && this.#claim.fencingToken === fencingToken
    return isKept ? this.#session : undefined
  }

  /** Makes a predictor ready to score in one thread. */
  async keep({ stepId, fencingToken }: PredictorClaim, onnx: Uint8Array): Promise<InferenceSession> {
    await this.release()
    const session = await InferenceSession.create(onnx, { intraOpNumThreads: 1, interOpNumThreads: 1 })
    this.#claim = { stepId, fencingToken }
    this.#session = session
    return session
  }

  async release(): Promise<void> {
    const session = this.#session
    this.#claim = undefined
    this.#session = undefined
    await session?.release()
  }
}
