"""What several files of tests use, imported as ``tests.support.NAME``: plain functions and classes.

Fixtures are in the conftest.py of a folder.
"""
