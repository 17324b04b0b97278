"""Two families of errors: sayable ones carry a sentence for a person, all others are faults."""

from __future__ import annotations


class SayableError(Exception):
    """Its message is a clear sentence that says what to do; the command line prints it without a traceback."""
