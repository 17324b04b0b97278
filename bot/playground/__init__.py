"""A laptop's world: embedded Postgres, a local Slack workspace, a demo marketplace."""
