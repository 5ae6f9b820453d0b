export type { ServiceLine, ServiceLog } from './service/service-line.js'
export { type RunningService, type ServiceOptions, startService } from './service/start-service.js'
