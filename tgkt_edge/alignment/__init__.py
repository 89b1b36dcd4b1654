"""Pictures of a color camera in the view of the depth camera beside it."""
