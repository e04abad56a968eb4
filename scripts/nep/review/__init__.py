"""A page on which a person reviews questions: served on this machine alone, its decisions in a plain file."""
