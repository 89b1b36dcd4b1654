"""Files as they lie on a disk: written atomically, images decoded without conversion, the format of recordings."""
