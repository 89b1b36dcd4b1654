"""From a captured frame to its decision: check, preprocess, classify, smooth."""
