"""How fast the parts are, and what samplers and seams cost: `python -m benchmarks NAME [options]` from the checkout."""
