"""Everything between a video file and condition features, and back into a finished video."""
