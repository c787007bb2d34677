"""`python -m fraudloop` is `fraudloop`."""

from fraudloop.cli import main

if __name__ == "__main__":
    main()
