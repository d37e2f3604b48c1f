"""Run the server: ``python -m boostlab.serving MODEL_FOLDER``."""

from boostlab.serving.server import main

if __name__ == "__main__":
    main()
