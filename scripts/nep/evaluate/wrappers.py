"""Names of our own models in lmms-eval."""

FAMILY_WRAPPER = "nep_family"
VLLM_WRAPPER = "nep_vllm"
