"""The benchmarks of the evaluation.

`<name>.py`: how one of lmms-eval's own is asked and read. `<name>.yaml`: what only the report shows of a benchmark: its
title, what guessing gives, names of its splits, published figures. `registry.py` names all of them, in their order.
"""
