"""Benchmarks that lmms-eval brings itself."""
