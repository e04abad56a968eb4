"""How a stage's work is dealt to shards and workers, noted as it is done, and shared between runs."""
