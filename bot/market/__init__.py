"""The marketplace: a SELECT-only reader and the admin API client."""
