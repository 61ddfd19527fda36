"""Finished and unfinished runs on disk: the record, the store, provenance and reading."""
