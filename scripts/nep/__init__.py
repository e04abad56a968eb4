"""Next-event prediction for video models: the library beneath the workflow's entry points."""
