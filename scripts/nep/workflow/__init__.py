"""What the Snakefile itself calls before the first rule."""
