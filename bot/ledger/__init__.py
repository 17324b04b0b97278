"""Mimawari's own Postgres: tables, named queries, claims, audit chain, migrations."""
