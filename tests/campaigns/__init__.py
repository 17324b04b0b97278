"""Figures over many seeds of the demo: what a team that approves what it is shown stops, and whom it hurts."""
