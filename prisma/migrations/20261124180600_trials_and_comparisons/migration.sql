-- AlterEnum
ALTER TYPE "EvaluationPurpose" ADD VALUE 'trial';
ALTER TYPE "EvaluationPurpose" ADD VALUE 'comparison';

-- AlterEnum
ALTER TYPE "PolicyOrigin" ADD VALUE 'trial';
ALTER TYPE "PolicyOrigin" ADD VALUE 'comparison';
