"""A demo marketplace that implements the whole market contract."""
