"""Recordings of ROS 1, ROS 2 and MCAP, read from their beginning to their end in little memory, without ROS."""
