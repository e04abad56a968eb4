"""Multiple-choice questions with four options on a video, an image or both: FutureBench and SeedBench-R1."""
