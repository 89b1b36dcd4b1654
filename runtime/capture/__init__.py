"""Reading a source on a thread of its own, and opening it again when it is lost."""
