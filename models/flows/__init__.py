"""The bijections that flows are made of, each a `Codec` whose cost is -log|det dz/dx|."""
