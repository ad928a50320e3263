"""Public implementations of diffusion against laws that are exact, each package in an environment of its own."""
