"""What a run consists of and where it lies: stages, data sets, models. Nothing of it is written a second time."""
