"""The real clips of `shared/v1_mini`, beside the repository: where they are, and a split time for each."""

import tarfile
from pathlib import Path

from support.entry_points import ROOT

MINI = ROOT.parent / "shared" / "v1_mini"
MINI_SPLITS = {
    "youtube/three cups.mp4": 8.6,
    "youcook2/pour_over.mp4": 1.5,
    "activitynet/v_juggle.mp4": 8.0,
    "ego4d/flip-pancake.mkv": 8.0,
    "Charades/baby'reading.mp4": 3.0,
    "youcook2/fry carrots.avi": 1.6,
    "youtube/日食/mirror.mp4": 5.6,
    "activitynet/v_arm-wrestling.mp4": 5.5,
}


def extract(folder: Path) -> Path:
    """Extract all clips below `folder`; returns the folder that holds the sources' folders."""
    for archive in sorted(MINI.glob("video_data_part*.tar.gz")):
        with tarfile.open(archive) as members:
            members.extractall(folder, filter="data")
    return folder / "video_dataset"
