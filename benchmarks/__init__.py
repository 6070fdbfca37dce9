"""How fast the parts are, what samplers and seams cost, and what controls do: `python -m benchmarks NAME [options]`."""
