"""``python -m tgkt_edge``."""

from tgkt_edge.cli.main import main

if __name__ == "__main__":
    main()
