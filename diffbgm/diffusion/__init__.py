"""The mathematics of diffusion, free of devices, files and networks."""
