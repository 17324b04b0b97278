"""Ledger values to Block Kit: pure wording, escaping and Slack limits."""
