"""TemporalBench, mended: lmms-eval 0.7.3 takes its video's path for a list of videos, and ends at an empty answer."""
