"""Pages that are served on this machine: who may ask, and how answers are sent."""
