"""The room that changes a case."""
