"""The programs that an experiment is exported for, and the stages that each of them can train."""

EXPORTED_STAGES: dict[str, tuple[str, ...]] = {
    "llamafactory": ("sft",),
    "easyr1": ("grpo",),
    "verl": ("grpo",),
    "swift": ("sft", "grpo"),
}
