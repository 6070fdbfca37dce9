"""From a video file to condition features, and from music back to a finished video."""
