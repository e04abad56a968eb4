"""The configuration: one file a block, with every key's type, default, bounds and description.

A stage imports the blocks that it reads and no others: they alone are part of its code fingerprint. `whole.py` joins
them. `make schema` writes `config/schema.json` and `docs/configuration.md` from here.
"""
