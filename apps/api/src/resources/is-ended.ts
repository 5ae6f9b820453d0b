import { type SearchState, terminalSearchStates } from '@espalier/contracts'

export function isEnded(state: SearchState): boolean {
  return terminalSearchStates.includes(state)
}
