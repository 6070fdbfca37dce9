"""Symbolic music: notes, piano rolls, MIDI files, sound. Knows nothing of video or of networks."""
