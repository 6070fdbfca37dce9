"""The segment-aware U-Net, its conditioner, the denoiser, and checkpoints."""
