"""The cache of what a vision-language model sees: sampled, resized frames, and the frozen vision tower's output."""
