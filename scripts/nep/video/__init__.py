"""Reading videos: probe, packets, time lines, decoding of chosen frames."""
