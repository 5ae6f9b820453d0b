export { type DataRecord, type ReadRecords, readRecords } from './read-records.js'
export {
  findTextFiles,
  type ReadText,
  type ReadTextOptions,
  readText,
  readTextStart,
  type TextDescription,
  type TextStart,
} from './read-text.js'
