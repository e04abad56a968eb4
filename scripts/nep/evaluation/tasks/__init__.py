"""Our tasks for lmms-eval, one folder a benchmark."""
