"""Process control of trainings. Nothing here decides a result: no fingerprint covers it."""
