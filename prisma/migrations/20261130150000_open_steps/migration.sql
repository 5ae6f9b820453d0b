-- CreateIndex
CREATE INDEX "Step_searchId_state_idx" ON "Step"("searchId", "state");
