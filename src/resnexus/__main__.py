"""`python -m resnexus`: the command line."""

from resnexus.cli import main

if __name__ == "__main__":
    main()
