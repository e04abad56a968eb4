"""Eight clips in the layout of V1-33K, for tests and benchmarks: real ones beside the repository, else generated ones.

The real clips (`../shared/v1_mini`) are not part of the repository. The generated ones have the same names, sizes,
frame rates, containers, split times and forms of time stamps; what they show is synthetic, and nothing is damaged.
"""

import shutil
import tarfile
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nep.files import write_json
from nep.video.tools import run_ffmpeg

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT.parent / "shared/v1_mini"
GENERATED = ROOT / "benchmarks/work/generated_mini"
ANNOTATIONS, QUESTIONS = "next_event_prediction.json", "futurebench.json"
CLIPS_PER_ARCHIVE = 4
LETTERS = "ABCD"


@dataclass(frozen=True)
class MiniClip:
    """A clip below `video_dataset/`, and its row. `pattern` is a source of ffmpeg's lavfi; `scenes` as annotated."""

    name: str
    size: str
    fps: str
    seconds: float
    split_s: float
    pattern: str
    scenes: tuple[dict[str, Any], dict[str, Any]]
    conclusion: str
    audio: bool = False
    b_frames: int = 2

    @property
    def path(self) -> str:
        return f"video_dataset/{self.name}"


CLIPS = (
    MiniClip(
        *("youtube/three cups.mp4", "1280x720", "30000/1001", 10, 8.6, "testsrc2"),
        ({"Scene 2": {"start": "00:01.20", "end": "00:08.60"}}, {"Scene 3": {"start": "00:08.60", "end": "00:10.01"}}),
        "right",
        audio=True,
    ),
    MiniClip(
        *("youcook2/pour_over.mp4", "1280x720", "30000/1001", 9.5, 1.5, "mandelbrot"),
        ({"Scene 1": {"start": 0.0, "end": 1.5}}, {"Scene 2": {"start": 1.5, "end": 9.577}}),
        "right",
        audio=True,
    ),
    MiniClip(
        *("activitynet/v_juggle.mp4", "1280x720", "24", 10.25, 8.0, "testsrc"),
        ({"Scene 1": ["0", "8.0"]}, {"Scene 2": ["8.0", "10.29"]}),
        "wrong",
    ),
    MiniClip(
        *("ego4d/flip-pancake.mkv", "426x240", "30", 10.3, 8.0, "cellauto"),
        (
            {"Scene 2": {"start": "0:00:02.0", "end": "0:00:08.0"}},
            {"Scene 3": {"start": "0:00:08.0", "end": "0:00:10.38"}},
        ),
        "right",
        audio=True,
        b_frames=0,
    ),
    MiniClip(
        *("Charades/baby'reading.mp4", "640x360", "25", 9.7, 3.0, "life"),
        ({"Scene 1": {"start": "0", "end": "3.0"}}, {"Scene 2": {"start": "3.0", "end": "9.72"}}),
        "wrong",
    ),
    MiniClip(
        *("youcook2/fry carrots.avi", "320x240", "359/12", 9, 1.6, "gradients=seed=1"),
        (
            {"Scene 1": {"start": "00:00:00", "end": "00:00:01.6"}},
            {"Scene 2": {"start": "00:00:01.6", "end": "00:00:09.0"}},
        ),
        "right",
        b_frames=0,
    ),
    MiniClip(
        *("youtube/日食/mirror.mp4", "480x270", "30000/1001", 13, 5.6, "sierpinski=seed=1"),
        ({"Scene 1": {"start": "0.0", "end": "5.6"}}, {"Scene 2": {"start": "5.6", "end": "16.57"}}),
        "right",
        audio=True,
    ),
    MiniClip(
        *("activitynet/v_arm-wrestling.mp4", "340x256", "28", 10, 5.5, "gradients=seed=9"),
        ({"Scene 1": {"start": "00:00.00", "end": "00:05.50"}}, {"Scene 2": {"start": "00:05.50", "end": "00:10.00"}}),
        "wrong",
    ),
)


def mini_folder() -> Path:
    """The folder with archives, annotations and questions: `REAL`, else `GENERATED`, made once, with a warning."""
    if REAL.is_dir():
        return REAL
    warnings.warn(f"{REAL} is not there: generated clips take the place of the eight real ones", stacklevel=2)
    if not GENERATED.is_dir():
        GENERATED.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=GENERATED.parent))
        generate(partial)
        try:
            partial.rename(GENERATED)
        except OSError:
            # Another process was first.
            shutil.rmtree(partial)
    return GENERATED


def extract(folder: Path) -> Path:
    """Extract all clips below `folder`; returns the folder that holds the sources' folders."""
    for archive in sorted(mini_folder().glob("video_data_part*.tar.gz")):
        with tarfile.open(archive) as members:
            members.extractall(folder, filter="data")
    return folder / "video_dataset"


def generate(folder: Path) -> None:
    """Write archives, annotations and questions of generated clips into `folder`."""
    for number, first in enumerate(range(0, len(CLIPS), CLIPS_PER_ARCHIVE)):
        with tarfile.open(folder / f"video_data_part{number}.tar.gz", "w:gz") as archive:
            for clip in CLIPS[first : first + CLIPS_PER_ARCHIVE]:
                video = folder / f"clip{Path(clip.name).suffix}"
                encode(clip, video)
                archive.add(video, clip.path)
                video.unlink()
    write_json(folder / ANNOTATIONS, list(map(annotation, CLIPS)))
    write_json(folder / QUESTIONS, [question(number, clip) for number, clip in enumerate(CLIPS)])


def encode(clip: MiniClip, out: Path) -> None:
    """H.264 with GOPs of two seconds and noise, so that it costs what a real video costs to decode."""
    mark = ":" if "=" in clip.pattern else "="
    inputs = ["-f", "lavfi", "-i", f"{clip.pattern}{mark}size={clip.size}:rate={clip.fps}"]
    if clip.audio:
        inputs += ["-f", "lavfi", "-i", "sine=frequency=440", "-c:a", "aac"]
    run_ffmpeg(
        [
            *("-nostdin", "-v", "error", "-y", *inputs, "-t", str(clip.seconds)),
            *("-vf", "noise=alls=6:allf=t,format=yuv420p", "-c:v", "libx264", "-preset", "veryfast"),
            *("-bf", str(clip.b_frames), "-force_key_frames", "expr:gte(t,n_forced*2)", "-threads", "1"),
            *("-fflags", "+bitexact", "-flags:v", "+bitexact", str(out)),
        ]
    )


def annotation(clip: MiniClip) -> dict[str, Any]:
    """A clip's object in `next_event_prediction.json`."""
    title = Path(clip.name).stem
    last = int(next(iter(clip.scenes[1])).split()[-1])
    scenes = [f"In scene {number} of {title} the pattern moves on." for number in range(1, last + 1)]
    before, after = " ".join(scenes[:-1]), scenes[-1]
    return {
        "video_path": clip.path,
        "full_video_path": f"V1-33K/{clip.path}",
        "caption": f"{before} {after}",
        "events": [{"scene": f"Scene {number}", "description": text} for number, text in enumerate(scenes, start=1)],
        "mc_qa": [
            {
                "from": "human",
                "value": f"<image>\nWhat is shown?\nA. A cat\nB. The pattern {title}\nC. A car\nD. A tree",
            },
            {"from": "gpt", "value": f"B. The pattern {title}"},
        ],
        "oe_qa": [
            {"from": "human", "value": "<image>\nWhat moves?"},
            {"from": "gpt", "value": f"The pattern {title}."},
        ],
        "video_split": {
            "split_caption": {"caption_part1": before, "caption_part2": after},
            "scenes_timestep": list(clip.scenes),
        },
        "ds_reasoning": {
            "rewritten_reasoning_content": f"The pattern {title} has not stopped before.",
            "rewritten_prediction_content": f"The pattern {title} will move on.",
        },
        "o3_critique": {"Critique": f"It says what {title} does.", "Conclusion": clip.conclusion},
    }


def question(number: int, clip: MiniClip) -> dict[str, Any]:
    """A clip's object in `futurebench.json`."""
    title = Path(clip.name).stem
    answer = LETTERS[number % len(LETTERS)]
    options = {
        letter: f"The pattern {title} turns into a {thing}." for letter, thing in zip(LETTERS, "pqrs", strict=True)
    }
    return {
        "id": f"fb_{number:04d}",
        "video_path": clip.path,
        "question_type": f"hop{number % 3 + 1}",
        "qa": {
            "Question": f"What happens next in {title}?",
            "Options": {**options, answer: f"The pattern {title} moves on."},
            "Answer": answer,
        },
    }
