-- What operations changed, drift, and alarms with age.
SELECT 1;
