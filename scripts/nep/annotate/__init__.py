"""Annotating plain videos by models: what is asked, in which order, and what is kept of the answers."""
