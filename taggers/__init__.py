"""Taggers: models that describe pictures, and the run that writes what they say as captions."""
