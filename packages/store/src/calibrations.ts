import type { Database, Queryable } from './database.js'
import { createId } from './ids.js'
import type { CalibrationRow } from './records.js'
import type { CalibrationStore } from './store.js'

export function createCalibrationStore({ client }: Database): CalibrationStore {
  return {
    async find(teamId, key) {
      const row = await client.calibration.findUnique({
        where: { teamId_key: { teamId, key } },
        select: { key: true, modelHash: true, dataHash: true, windowLength: true, windows: true, artifact: true },
      })
      return row ?? undefined
    },
    save: (teamId, calibration) => saveCalibration(client, teamId, calibration),
  }
}

/** The newest record counts: the one before may have been lost from the artefact store. */
export async function saveCalibration(
  queryable: Queryable,
  teamId: string,
  calibration: CalibrationRow,
): Promise<void> {
  const { key, modelHash, dataHash, windowLength, windows, artifact } = calibration
  await queryable.calibration.upsert({
    where: { teamId_key: { teamId, key } },
    create: { id: createId('cal'), teamId, key, modelHash, dataHash, windowLength, windows, artifact },
    update: { artifact },
  })
}
