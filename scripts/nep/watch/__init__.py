"""How a run stands, read from the files that it leaves: `make watch`, and the last words of a run that failed."""
