"""Publishing: what a run has made (model, data set, benchmark, Space), put up on the hub with its card."""
