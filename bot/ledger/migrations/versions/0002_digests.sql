-- Digests: one row a digest day and channel, posted once however many processes run.
SELECT 1;
