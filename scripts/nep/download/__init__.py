"""Getting the data set and the base model: list, fetch, verify, extract."""
