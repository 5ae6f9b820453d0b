import { sparsitySchema } from '@espalier/contracts'
import { InvalidArgumentError } from 'commander'

/** A parser for an option that is a whole number within limits. */
export function integerFrom(min: number, max: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    const allowed = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`
    throw new InvalidArgumentError(`"${text}" is not a whole number of ${allowed}.`)
  }
}

/** `0.2,0.35,0.5` -> the sparsities; each between 0 and 1, both excluded. */
export function parseSparsities(text: string): number[] {
  return text.split(',').map((part) => {
    const value = part.trim() === '' ? Number.NaN : Number(part)
    if (sparsitySchema.safeParse(value).success) return value
    throw new InvalidArgumentError(`"${part}" is not a sparsity: a number above 0 and below 1, e.g. 0.35.`)
  })
}

/** `30,60,120` -> the numbers; each a whole number of 1 or more. */
export function parseCounts(text: string): number[] {
  return text.split(',').map((part) => integerFrom(1)(part.trim()))
}

/** A parser for a list such as `kl,top1` of which each is one of the allowed names. */
export function listOf<T extends string>(allowed: readonly T[]): (text: string) => T[] {
  return (text) =>
    text.split(',').map((part) => {
      const found = allowed.find((name) => name === part.trim())
      if (found !== undefined) return found
      throw new InvalidArgumentError(`"${part}" is not one of ${allowed.join(', ')}.`)
    })
}
