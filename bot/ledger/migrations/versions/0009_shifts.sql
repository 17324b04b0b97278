-- Holds with an owner and an end, reminders, and what happened outside staffed hours.
SELECT 1;
