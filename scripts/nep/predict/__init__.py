"""Asking a model what happens next in a video of one's own: what it is shown, how it is asked, what it says."""
