"""Asking a model behind an OpenAI-compatible API: typed answers, each paid for once."""
