"""From the condition features of a video to its music: the pipeline, the composer, form and kept music."""
