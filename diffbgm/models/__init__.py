"""Segment-aware U-Net, conditioner and checkpoints."""
