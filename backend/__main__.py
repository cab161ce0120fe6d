"""python -m backend {train, check, schema, demo}."""

from backend.cli import main

if __name__ == "__main__":
    main()
