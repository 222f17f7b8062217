"""`python -m translora`: the command line."""

from translora.cli import main

if __name__ == "__main__":
    main()
