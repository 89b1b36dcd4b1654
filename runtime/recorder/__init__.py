"""``tgkt-edge record``: frames of a camera to disk, alone or in pairs."""
