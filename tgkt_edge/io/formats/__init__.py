"""One module for each image format. What a file really holds is checked before OpenCV sees it, if it ever does."""
