"""Tests of the recorders; a package, so that they can share how a file is read back."""
