"""Signatures of videos, by which near-duplicates of evaluation videos are found."""
