-- AlterTable
ALTER TABLE "Search" ADD COLUMN     "memoryNeeds" JSONB;
