"""Cutting videos at their split times: plan, stream copy or transcode, verification."""
