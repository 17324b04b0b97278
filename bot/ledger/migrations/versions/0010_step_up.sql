-- Step-up sign-in for the largest class of decisions.
SELECT 1;
