"""Exports: data sets and recipes of a run in the forms that other programs read. All paths are relative to the run."""
