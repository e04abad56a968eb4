"""FutureBench: multiple-choice questions on what follows the first part of a video."""
