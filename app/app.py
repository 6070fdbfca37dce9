"""The app of a Hugging Face Space: `diffbgm app`, listening to everybody, for videos of up to three minutes."""

from diffbgm.app.gradio_app import main

if __name__ == "__main__":
    raise SystemExit(main(["host=0.0.0.0", "port=7860", "minutes=3", "megabytes=200"]))
