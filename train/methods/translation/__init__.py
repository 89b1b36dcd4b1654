"""Translation in feature space: a linear map, in closed form, from a frame's features to the source model's on RGB."""
