import { expect, it } from '@jest/globals'
import { findDevice, parseGpu } from './find-device.js'

it('takes CUDA where a probe finds that it works, and says why where not', async () => {
  const device = await findDevice({ provider: 'auto' })
  if (device.provider === 'cuda') {
    expect(device).toMatchObject({ fallbackReason: null, precisions: ['fp32', 'fp16', 'bf16'] })
    return
  }
  expect(device).toMatchObject({ provider: 'cpu', precisions: ['fp32', 'fp16'] })
  expect(device.fallbackReason).toMatch(/CUDA/)
  expect(device.memoryBytes).toBeGreaterThan(0)
  await expect(findDevice({ provider: 'cuda' })).rejects.toMatchObject({ code: 'CONFIGURATION_INVALID' })
})

it('tries nothing when the CPU was chosen', async () => {
  expect(await findDevice({ provider: 'cpu' })).toMatchObject({ provider: 'cpu', fallbackReason: null })
})

it.each([
  ['NVIDIA H100 80GB HBM3, 81559\n', { name: 'NVIDIA H100 80GB HBM3', memoryBytes: 81559 * 2 ** 20 }],
  ['Tesla T4, [N/A]', { name: 'Tesla T4', memoryBytes: null }],
])('reads what nvidia-smi prints: %j', (line, expected) => {
  expect(parseGpu(line)).toEqual(expected)
})
