"""diffbgm: background music for video by diffusion over piano rolls (Diff-BGM, CVPR 2024, re-implemented).

Data flows one way through the rooms: music, video, datasets, diffusion, models, generation, training, evaluation, app.
A room imports only from rooms before it.
"""

__version__ = "0.2.0"
