"""Looking through plain videos before they are annotated: length, shots, near-duplicates."""
