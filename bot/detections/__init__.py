"""The engine that runs detection files."""
