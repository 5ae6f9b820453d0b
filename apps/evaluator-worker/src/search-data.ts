import { EspalierError, type ImportanceMetric, type PrepareResult, type Split } from '@espalier/contracts'
import { type CalibrationRecord, readCalibration } from '@espalier/evaluator'
import { type PrunableModel, rankModules, remember, type UnitRanking } from '@espalier/pruning'
import type { ArtifactStore } from '@espalier/runtime'
import type { Lease, Store } from '@espalier/store'
import { idsFromBytes } from './tokenise-text.js'

/** What the preparation of a search left behind, read once and kept while the search is worked on. */
export interface SearchData {
  readonly prepared: PrepareResult
  readonly calibration: CalibrationRecord
  /** One a module. */
  rankingsBy(metric: ImportanceMetric): readonly UnitRanking[]
  idsOf(split: Split): Promise<Int32Array>
}

export interface SearchDataReader {
  read(lease: Lease, model: PrunableModel): Promise<SearchData>
}

/** Keeps the data of the search worked on last. */
export function createSearchDataReader(store: Store, artifacts: ArtifactStore): SearchDataReader {
  let last: { searchId: string; data: Promise<SearchData> } | undefined
  return {
    read(lease, model) {
      if (last?.searchId !== lease.searchId) {
        const data = readData(store, artifacts, lease, model)
        last = { searchId: lease.searchId, data }
        data.catch(() => {
          last = undefined
        })
      }
      return last.data
    },
  }
}

async function readData(
  store: Store,
  artifacts: ArtifactStore,
  lease: Lease,
  model: PrunableModel,
): Promise<SearchData> {
  const prepared = await store.steps.findResult(lease.searchId, 'prepare', 0, 0)
  if (!prepared) {
    throw new EspalierError('INTERNAL', `Search ${lease.searchId} has a ${lease.kind} step but was never prepared`)
  }
  const calibration = await readCalibration(artifacts.path(prepared.calibration))
  return {
    prepared,
    calibration,
    rankingsBy: remember((metric: ImportanceMetric) => rankModules(metric, calibration.modules, model)),
    idsOf: remember((split: Split) => artifacts.getBytes(prepared.splits[split].artifact).then(idsFromBytes)),
  }
}
