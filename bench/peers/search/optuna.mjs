/**
 * Samplers of Optuna, asked and told one policy at a time: each module's kept share is a parameter, and the policy is
 * its projection to the target. The uniform policy is their first trial, as Espalier too has measured it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { projectToSparsity, uniformPolicy } from '@espalier/pruning'

const script = fileURLToPath(new URL('../run_optuna.py', import.meta.url))
const samplers = ['tpe', 'nsga2', 'cmaes']

/** @param python with optuna, cmaes and numpy */
export const optunaPeers = (python) =>
  samplers.map((sampler) => ({
    name: `optuna-${sampler}`,
    seeded: true,
    async search(task) {
      for (const target of task.targets) await searchTarget(python, sampler, task, target)
    },
  }))

async function searchTarget(python, sampler, { model, seed, evaluations, measure }, target) {
  const first = uniformPolicy(model, target).map((count, m) => count / model.modules[m].units)
  const child = spawn(python, [script, sampler, String(seed)], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const send = (message) => child.stdin.write(`${JSON.stringify(message)}\n`)
  send({ first, evaluations })
  for await (const line of createInterface({ input: child.stdout })) {
    const { shares } = JSON.parse(line)
    const wanted = shares.map((share, m) => share * model.modules[m].units)
    const [value] = await measure([projectToSparsity(model, wanted, target)], target)
    send({ value })
  }
  const [code] = await ended
  if (code !== 0) throw new Error(`${python} ${script} ${sampler} ended with ${code}`)
}
