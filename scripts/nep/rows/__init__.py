"""Rows that pass between stages."""
