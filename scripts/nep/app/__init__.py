"""A page on which models of a run are asked what happens next: choose a video, drag the cut, predict, reveal."""
