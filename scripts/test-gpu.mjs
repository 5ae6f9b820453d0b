/**
 * `npm run test:gpu [-- jest arguments]`: the tests that need a CUDA device and ONNX Runtime's CUDA libraries
 * (`npm rebuild onnxruntime-node --foreground-scripts --onnxruntime-node-install=cuda12`). Without them every test is
 * skipped, the last line says so, and the exit code is 1: nothing was tested.
 *
 * ESPALIER_GPU_MODEL: the model whose throughput is printed; default: the bundled one.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { prepareWorkspace, root } from './prepare-workspace.mjs'

prepareWorkspace()
const folder = mkdtempSync(join(tmpdir(), 'espalier-gpu-tests-'))
const outputFile = join(folder, 'gpu.json')
const jest = [
  ...[`${root}node_modules/jest/bin/jest.js`, ...process.argv.slice(2), '--json', `--outputFile=${outputFile}`],
  ...['--runInBand', '--testTimeout=300000', String.raw`--testPathIgnorePatterns=(?<!\.gpu)\.test\.ts$`],
]
const { status } = spawnSync(process.execPath, ['--experimental-vm-modules', '--no-warnings', ...jest], {
  cwd: root,
  stdio: ['ignore', 'ignore', 'inherit'],
  // float32 is to be compared as such; see cuda.gpu.test.ts.
  env: { ...process.env, ESPALIER_TEST_GPU: '1', NVIDIA_TF32_OVERRIDE: '0' },
})
const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(outputFile, 'utf8'))
rmSync(folder, { recursive: true, force: true })
console.log(`${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped on a GPU`)
process.exitCode = status !== 0 || numPassedTests === 0 ? 1 : 0
