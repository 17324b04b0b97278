"""The engine of detections; each .sql file in `rules/` is one detection, its .test.yml beside it."""
