-- Personal data beside the audit chain, and a role that can only verify.
SELECT 1;
