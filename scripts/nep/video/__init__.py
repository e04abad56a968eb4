"""Cutting videos at their split times: probe, cut, verify, ledger, shards, killable workers."""
