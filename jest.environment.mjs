import { TestEnvironment } from 'jest-environment-node'

/**
 * Node's environment with the typed arrays of the outer realm: native addons (ONNX Runtime) give and check those,
 * and a context of its own would have others by the same name.
 */
export default class NativeArraysEnvironment extends TestEnvironment {
  async setup() {
    await super.setup()
    Object.assign(this.global, { Float32Array, Float64Array, BigInt64Array, Int32Array, Uint8Array })
  }
}
