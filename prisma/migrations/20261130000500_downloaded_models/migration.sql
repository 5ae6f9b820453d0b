-- AlterTable
ALTER TABLE "Model" ADD COLUMN     "revision" TEXT,
ADD COLUMN     "source" TEXT,
ALTER COLUMN "path" DROP NOT NULL;

-- A model is a folder or a pinned source.
ALTER TABLE "Model" ADD CONSTRAINT "Model_location" CHECK (
    ("path" IS NULL) = ("source" IS NOT NULL) AND ("source" IS NULL) = ("revision" IS NULL));

-- AlterTable
ALTER TABLE "Step" ADD COLUMN     "activity" TEXT;

-- CreateIndex
CREATE UNIQUE INDEX "Model_teamId_source_revision_key" ON "Model"("teamId", "source", "revision");
