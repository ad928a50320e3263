"""Config files in, results out: the only folder that reads configs, touches files or prints."""
