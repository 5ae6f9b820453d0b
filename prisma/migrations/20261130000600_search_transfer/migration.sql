-- AlterTable
ALTER TABLE "Search" ADD COLUMN     "transfer" JSONB;
