import { Prisma } from './generated/prisma/client.js'

/** A value for a json column. */
export function toJson(value: unknown): Prisma.InputJsonValue {
  return value as Prisma.InputJsonValue
}

/** A value for a json column that can be null. */
export function toNullableJson(value: unknown): Prisma.InputJsonValue | typeof Prisma.DbNull {
  return value === null || value === undefined ? Prisma.DbNull : toJson(value)
}

/** A json column of our own tables: its type was checked before it was written, so it is trusted here. */
export function fromJson<T>(value: unknown): T {
  return value as T
}
