"""The block `demo.videos`."""

from pydantic import Field

from nep.config.base import Block


class DemoVideos(Block):
    """The demo's data set, made below `results/<run>/hub`."""

    train: int = Field(600, ge=1, description="Number of videos to train on.")
    test: int = Field(60, ge=1, description="Number of videos that evaluation asks about.")
    archives: int = Field(2, ge=1, description="Number of archives that the videos are packed into.")
    questions_per_video: int = Field(4, ge=1, le=4, description="Evaluation questions about each test video.")
    size: int = Field(168, ge=56, multiple_of=2, description="Width and height of a video, in pixels.")
    fps: int = Field(12, ge=4, description="Frames per second of a video.")
    processes: int = Field(2, ge=1, description="Processes that render videos.")
