"""The kinds of sources: each reads a data set's pictures, without opening one, as entries in a fixed order."""
