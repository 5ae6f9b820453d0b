/** Started now; gives seconds of the clock and of all processors since. */
export function stopwatch() {
  const started = performance.now()
  const used = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(used)
    return { clock: (performance.now() - started) / 1000, processor: (user + system) / 1e6 }
  }
}
