"""The live page of a run: what it sees, what it says, and how it is."""
