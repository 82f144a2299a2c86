"""`python -m inferstream` is the command line."""

from inferstream.cli import main

if __name__ == "__main__":
    main()
