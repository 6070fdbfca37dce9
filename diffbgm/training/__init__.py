"""The training loop, and its logs, previews and checkpoints."""
