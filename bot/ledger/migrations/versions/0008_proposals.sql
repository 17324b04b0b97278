-- What needs two people: resuming, policy changes, reviews after a break-glass.
SELECT 1;
