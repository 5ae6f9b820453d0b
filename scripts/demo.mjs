/** `npm run demo [-- --fresh]`: everything from a fresh clone to the table of results. */
import { prepareWorkspace } from './prepare-workspace.mjs'

prepareWorkspace()
const { main } = await import('../apps/cli/dist/main.js')
await main(['demo', ...process.argv.slice(2)])
