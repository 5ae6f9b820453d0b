-- CreateSchema
CREATE SCHEMA IF NOT EXISTS "public";

-- CreateEnum
CREATE TYPE "SearchState" AS ENUM ('QUEUED', 'PREPARING', 'SEARCHING', 'FINALISING', 'EXPORTING', 'SUCCEEDED', 'PAUSED', 'CANCELLED', 'FAILED');

-- CreateEnum
CREATE TYPE "StepState" AS ENUM ('PENDING', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED');

-- CreateEnum
CREATE TYPE "StepKind" AS ENUM ('prepare', 'evaluate', 'train', 'propose', 'score', 'export');

-- CreateEnum
CREATE TYPE "EvaluationPurpose" AS ENUM ('dense', 'uniform', 'probe', 'random', 'proposal', 'final', 'test');

-- CreateEnum
CREATE TYPE "PolicyOrigin" AS ENUM ('dense', 'uniform', 'probe', 'random', 'proposal', 'final', 'test', 'network', 'evolution');

-- CreateEnum
CREATE TYPE "Split" AS ENUM ('calibration', 'validation', 'test');

-- CreateEnum
CREATE TYPE "ExportFormat" AS ENUM ('onnx', 'huggingface');

-- CreateEnum
CREATE TYPE "ProcessRole" AS ENUM ('api', 'dispatcher', 'evaluator', 'predictor', 'agent');

-- CreateTable
CREATE TABLE "Team" (
    "id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "weight" DOUBLE PRECISION NOT NULL DEFAULT 1,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "Team_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ApiKey" (
    "id" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "prefix" TEXT NOT NULL,
    "hash" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),
    "revokedAt" TIMESTAMPTZ(6),
    "lastUsedAt" TIMESTAMPTZ(6),

    CONSTRAINT "ApiKey_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Model" (
    "id" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "path" TEXT NOT NULL,
    "shape" JSONB NOT NULL,
    "hash" TEXT,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "Model_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Search" (
    "id" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "modelId" TEXT NOT NULL,
    "name" TEXT,
    "settings" JSONB NOT NULL,
    "state" "SearchState" NOT NULL DEFAULT 'QUEUED',
    "stateBeforePause" "SearchState",
    "waitReason" TEXT,
    "progress" JSONB,
    "result" JSONB,
    "error" JSONB,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),
    "startedAt" TIMESTAMPTZ(6),
    "finishedAt" TIMESTAMPTZ(6),
    "updatedAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "Search_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Step" (
    "id" TEXT NOT NULL,
    "searchId" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "round" INTEGER NOT NULL,
    "kind" "StepKind" NOT NULL,
    "index" INTEGER NOT NULL,
    "state" "StepState" NOT NULL DEFAULT 'PENDING',
    "payload" JSONB NOT NULL,
    "result" JSONB,
    "error" JSONB,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "failures" INTEGER NOT NULL DEFAULT 0,
    "fencingToken" BIGINT NOT NULL DEFAULT 0,
    "leaseExpiresAt" TIMESTAMPTZ(6),
    "workerId" TEXT,
    "availableAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),
    "wokenAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),
    "startedAt" TIMESTAMPTZ(6),
    "finishedAt" TIMESTAMPTZ(6),

    CONSTRAINT "Step_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Policy" (
    "id" TEXT NOT NULL,
    "searchId" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "keptHash" TEXT NOT NULL,
    "kept" INTEGER[],
    "sparsity" DOUBLE PRECISION NOT NULL,
    "origin" "PolicyOrigin" NOT NULL,
    "targetIndex" INTEGER,
    "round" INTEGER NOT NULL,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "Policy_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Evaluation" (
    "id" TEXT NOT NULL,
    "searchId" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "policyId" TEXT NOT NULL,
    "stepId" TEXT NOT NULL,
    "purpose" "EvaluationPurpose" NOT NULL,
    "targetIndex" INTEGER,
    "split" "Split" NOT NULL,
    "windows" INTEGER NOT NULL,
    "logPerplexity" DOUBLE PRECISION NOT NULL,
    "perplexity" DOUBLE PRECISION NOT NULL,
    "nll" JSONB NOT NULL,
    "predicted" JSONB,
    "protocol" JSONB NOT NULL,
    "workerId" TEXT,
    "fencingToken" BIGINT NOT NULL,
    "computeSeconds" DOUBLE PRECISION NOT NULL,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "Evaluation_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Predictor" (
    "id" TEXT NOT NULL,
    "searchId" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "round" INTEGER NOT NULL,
    "parameters" JSONB NOT NULL,
    "onnx" BYTEA NOT NULL,
    "summary" JSONB NOT NULL,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "Predictor_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Artifact" (
    "id" TEXT NOT NULL,
    "searchId" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "targetIndex" INTEGER NOT NULL,
    "format" "ExportFormat" NOT NULL,
    "directory" TEXT NOT NULL,
    "files" JSONB NOT NULL,
    "parameters" BIGINT NOT NULL,
    "compensationWritten" BOOLEAN NOT NULL,
    "note" TEXT,
    "perplexity" DOUBLE PRECISION NOT NULL,
    "expectedPerplexity" DOUBLE PRECISION NOT NULL,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "Artifact_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Calibration" (
    "id" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "modelHash" TEXT NOT NULL,
    "dataHash" TEXT NOT NULL,
    "windowLength" INTEGER NOT NULL,
    "windows" INTEGER NOT NULL,
    "artifact" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "Calibration_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Event" (
    "id" BIGSERIAL NOT NULL,
    "searchId" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "data" JSONB NOT NULL,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "Event_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "Worker" (
    "id" TEXT NOT NULL,
    "teamId" TEXT,
    "role" "ProcessRole" NOT NULL,
    "node" TEXT NOT NULL,
    "pid" INTEGER NOT NULL,
    "details" JSONB NOT NULL,
    "startedAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),
    "heartbeatAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),
    "currentStepId" TEXT,
    "doneSteps" INTEGER NOT NULL DEFAULT 0,
    "refusedResults" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "Worker_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "Team_name_key" ON "Team"("name");

-- CreateIndex
CREATE UNIQUE INDEX "ApiKey_hash_key" ON "ApiKey"("hash");

-- CreateIndex
CREATE INDEX "ApiKey_teamId_idx" ON "ApiKey"("teamId");

-- CreateIndex
CREATE INDEX "Model_teamId_id_idx" ON "Model"("teamId", "id");

-- CreateIndex
CREATE UNIQUE INDEX "Model_teamId_path_key" ON "Model"("teamId", "path");

-- CreateIndex
CREATE INDEX "Search_teamId_id_idx" ON "Search"("teamId", "id");

-- CreateIndex
CREATE INDEX "Search_state_idx" ON "Search"("state");

-- CreateIndex
CREATE INDEX "Step_state_kind_idx" ON "Step"("state", "kind");

-- CreateIndex
CREATE UNIQUE INDEX "Step_searchId_round_kind_index_key" ON "Step"("searchId", "round", "kind", "index");

-- CreateIndex
CREATE INDEX "Policy_searchId_id_idx" ON "Policy"("searchId", "id");

-- CreateIndex
CREATE UNIQUE INDEX "Policy_searchId_keptHash_key" ON "Policy"("searchId", "keptHash");

-- CreateIndex
CREATE UNIQUE INDEX "Evaluation_stepId_key" ON "Evaluation"("stepId");

-- CreateIndex
CREATE INDEX "Evaluation_searchId_id_idx" ON "Evaluation"("searchId", "id");

-- CreateIndex
CREATE UNIQUE INDEX "Evaluation_policyId_split_windows_key" ON "Evaluation"("policyId", "split", "windows");

-- CreateIndex
CREATE UNIQUE INDEX "Predictor_searchId_round_key" ON "Predictor"("searchId", "round");

-- CreateIndex
CREATE UNIQUE INDEX "Artifact_searchId_targetIndex_format_key" ON "Artifact"("searchId", "targetIndex", "format");

-- CreateIndex
CREATE UNIQUE INDEX "Calibration_teamId_key_key" ON "Calibration"("teamId", "key");

-- CreateIndex
CREATE INDEX "Event_searchId_id_idx" ON "Event"("searchId", "id");

-- CreateIndex
CREATE INDEX "Worker_role_heartbeatAt_idx" ON "Worker"("role", "heartbeatAt");

-- AddForeignKey
ALTER TABLE "ApiKey" ADD CONSTRAINT "ApiKey_teamId_fkey" FOREIGN KEY ("teamId") REFERENCES "Team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Model" ADD CONSTRAINT "Model_teamId_fkey" FOREIGN KEY ("teamId") REFERENCES "Team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Search" ADD CONSTRAINT "Search_teamId_fkey" FOREIGN KEY ("teamId") REFERENCES "Team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Search" ADD CONSTRAINT "Search_modelId_fkey" FOREIGN KEY ("modelId") REFERENCES "Model"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Step" ADD CONSTRAINT "Step_searchId_fkey" FOREIGN KEY ("searchId") REFERENCES "Search"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Policy" ADD CONSTRAINT "Policy_searchId_fkey" FOREIGN KEY ("searchId") REFERENCES "Search"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Evaluation" ADD CONSTRAINT "Evaluation_searchId_fkey" FOREIGN KEY ("searchId") REFERENCES "Search"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Evaluation" ADD CONSTRAINT "Evaluation_policyId_fkey" FOREIGN KEY ("policyId") REFERENCES "Policy"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Evaluation" ADD CONSTRAINT "Evaluation_stepId_fkey" FOREIGN KEY ("stepId") REFERENCES "Step"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Predictor" ADD CONSTRAINT "Predictor_searchId_fkey" FOREIGN KEY ("searchId") REFERENCES "Search"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Artifact" ADD CONSTRAINT "Artifact_searchId_fkey" FOREIGN KEY ("searchId") REFERENCES "Search"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Calibration" ADD CONSTRAINT "Calibration_teamId_fkey" FOREIGN KEY ("teamId") REFERENCES "Team"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "Event" ADD CONSTRAINT "Event_searchId_fkey" FOREIGN KEY ("searchId") REFERENCES "Search"("id") ON DELETE CASCADE ON UPDATE CASCADE;


