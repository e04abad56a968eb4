"""Questions of one's own: written from a video's events, filtered by asking them, measured, reviewed, chosen."""
