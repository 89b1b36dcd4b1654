"""The commands as Python functions, with the same names and arguments: what ``import tgkt_edge`` offers.

Commands whose work is one function of that name have it elsewhere (``evaluate``, ``verify``, ``inspect``, ``prepare``);
here are those that put several together. None of them imports a heavy library before it is called.
"""
