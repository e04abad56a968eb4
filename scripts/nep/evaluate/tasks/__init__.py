"""Our tasks for lmms-eval, one folder for each form of question."""
