"""What a user may ask for: one schema that the form, the command line, the checks and the reference all read."""
