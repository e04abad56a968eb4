"""The videos of the page: examples of the run, and uploads, which lie in one folder under names of our own."""

import secrets
import shutil
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import av

from nep.annotate.frames import even_times, read_frames, to_jpeg
from nep.errors import InputError
from nep.rows.quarantine import Reason, Rejection
from nep.video.packets import video_packets
from nep.video.probe import decoding, frame_rate, frame_step
from nep.video.stream import open_video

if TYPE_CHECKING:
    from nep.model.clip import Clip

MOST_BYTES = 500 * 10**6
MOST_UPLOADS = 32
STRIP_FRAMES = 16
THUMBNAIL_SIDE = 256
NAME_CHARACTERS = 120
# Containers of one file: others, such as playlists, name more files to open.
CONTAINERS = "mp4,mov,matroska,webm,avi,mpegts,mpeg,flv,asf,gif"
MEDIA_TYPES = {"mov,mp4,m4a,3gp,3g2,mj2": "video/mp4", "matroska,webm": "video/webm"}


@dataclass(frozen=True)
class Facts:
    """Of a video: seconds from its first picture to its last one's end, frames a second, whether browsers know it."""

    duration: float
    fps: float
    media_type: str


@dataclass(frozen=True)
class Picture:
    """A frame as the URI of a JPEG, and its time in seconds."""

    uri: str
    seconds: float


@dataclass
class ShownVideo:
    """A video of the page. `key` stands for it in addresses; `name` is shown and names no file."""

    key: str
    name: str
    file: Path
    _facts: Facts | None = None

    def facts(self) -> Facts:
        """Read once. Raises Rejection for a file that is no video."""
        if self._facts is None:
            self._facts = read_facts(self.file)
        return self._facts

    def to_json(self) -> dict[str, Any]:
        """What the page knows of it."""
        return {"key": self.key, "name": self.name, **asdict(self.facts())}

    def strip(self) -> list[Picture]:
        """Frames at equal distances over the whole video, each from the middle of its share of the time."""
        return self.pictures(even_times(0, self.facts().duration, STRIP_FRAMES))

    def pictures(self, times: Sequence[float]) -> list[Picture]:
        """The frames that are shown at some times, small. Raises Rejection where they cannot be decoded."""
        frames = read_frames(self.file, times, THUMBNAIL_SIDE)
        return [Picture(frame.data_url, seconds) for frame, seconds in zip(frames, times, strict=True)]


@dataclass
class Videos:
    """All videos by key. Uploads lie in `folder`; of more than MOST_UPLOADS the oldest are deleted."""

    folder: Path
    _known: dict[str, ShownVideo] = field(default_factory=dict)
    _uploads: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, file: Path, name: str) -> ShownVideo:
        """Show a file."""
        return self._keep(ShownVideo(secrets.token_hex(8), name, file))

    def __getitem__(self, key: str) -> ShownVideo:
        """Raises KeyError for a key that is not, or no longer, known."""
        return self._known[key]

    def receive(self, name: str, body: BinaryIO, length: int) -> ShownVideo:
        """Take an upload of `length` bytes. Raises InputError where it is cut off or no video that can be read."""
        video = ShownVideo(secrets.token_hex(8), name.strip()[:NAME_CHARACTERS] or "video", self.folder)
        video.file = self.folder / video.key / "video"
        video.file.parent.mkdir(parents=True)
        try:
            _copy(body, video.file, length)
            video.facts()
        except (Rejection, InputError) as error:
            shutil.rmtree(video.file.parent)
            raise InputError(f"{video.name}: {getattr(error, 'detail', error)}") from None
        with self._lock:
            self._uploads.append(video.key)
            surplus = self._uploads[:-MOST_UPLOADS]
            self._uploads = self._uploads[-MOST_UPLOADS:]
        for key in surplus:
            shutil.rmtree(self._known.pop(key).file.parent, ignore_errors=True)
        return self._keep(video)

    def _keep(self, video: ShownVideo) -> ShownVideo:
        self._known[video.key] = video
        return video


def read_facts(file: Path) -> Facts:
    """Facts of a video, without decoding it. Raises Rejection for what is no video in one of the known containers."""
    try:
        with av.open(str(file), options={"format_whitelist": CONTAINERS}) as container:
            media_type = MEDIA_TYPES.get(container.format.name, "application/octet-stream")
    except (av.FFmpegError, ValueError):
        kinds = CONTAINERS.replace(",", ", ")
        raise Rejection(Reason.UNDECODABLE_VIDEO, f"no video file of a kind that is read ({kinds})") from None
    with decoding(Reason.UNDECODABLE_VIDEO), open_video(file) as (container, stream):
        times = [packet.pts for packet in video_packets(container, stream) if packet.pts is not None]
        if len(times) < 2:
            raise ValueError(f"{len(times)} pictures with a time, at least 2 are needed")
        seconds = (max(times) - min(times) + frame_step(stream)) * stream.time_base
        return Facts(round(float(seconds), 3), round(float(frame_rate(stream)), 3), media_type)


def seen_pictures(clip: "Clip") -> list[Picture]:
    """The frames of a clip, in their own size."""
    frames = [to_jpeg(frame, max(frame.shape)) for frame in clip.frames]
    return [Picture(frame.data_url, seconds) for frame, seconds in zip(frames, clip.pts, strict=True)]


def _copy(body: BinaryIO, file: Path, length: int) -> None:
    with file.open("wb") as stream:
        while length > 0 and (chunk := body.read(min(1 << 20, length))):
            stream.write(chunk)
            length -= len(chunk)
    if length:
        raise InputError(f"{length} bytes have not arrived")
