"""Letters read from answers, accuracy with its interval, paired tests: shared by all that score or compare."""
