"""From the condition features of a video to its music: pipeline, composer, form, harmony plan and kept music."""
