"""Mimawari: detects fraud in a marketplace and carries out what people decide in Slack."""
