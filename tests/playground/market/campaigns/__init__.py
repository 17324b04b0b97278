"""The fraud of the demo: what each kind shows, how it adapts, and what is kept of it."""
