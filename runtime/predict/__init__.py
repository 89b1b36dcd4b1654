"""``tgkt-edge predict``: recorded frames to a table, every class's probability of each."""
