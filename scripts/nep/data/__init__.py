"""Data sets: what records and segments become for training and evaluation."""
