-- CreateTable
CREATE TABLE "Generator" (
    "id" TEXT NOT NULL,
    "searchId" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "round" INTEGER NOT NULL,
    "artifact" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ(6) NOT NULL DEFAULT transaction_timestamp(),

    CONSTRAINT "Generator_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "Generator_searchId_round_key" ON "Generator"("searchId", "round");

-- AddForeignKey
ALTER TABLE "Generator" ADD CONSTRAINT "Generator_searchId_fkey" FOREIGN KEY ("searchId") REFERENCES "Search"("id") ON DELETE CASCADE ON UPDATE CASCADE;
