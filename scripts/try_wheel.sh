#!/usr/bin/env bash
# try_wheel.sh WHEEL: does the wheel alone make music, in an empty folder and an environment of its own?
# SITE=FOLDER takes the requirements from another environment's site-packages instead of downloading them.
set -euo pipefail
wheel=$(realpath "$1")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
python="$place/venv/bin/python"
if [ -n "${SITE:-}" ]; then
    echo "$SITE" > "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/requirements.pth"
    "$python" -m pip install --disable-pip-version-check --no-deps "$wheel"
else
    "$python" -m pip install --disable-pip-version-check --index-url https://download.pytorch.org/whl/cpu torch
    "$python" -m pip install --disable-pip-version-check "$wheel"
fi
mkdir "$place/empty"
cd "$place/empty"
"$python" - <<'EOF'
from fractions import Fraction

import av
import numpy as np

with av.open("clip.mp4", "w") as file:  # 80 seconds of a square that moves, with three cuts
    stream = file.add_stream("libx264", rate=Fraction(2))
    stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
    for k in range(160):
        picture = np.full((96, 160, 3), (40, 180, 90, 20)[k // 40], np.uint8)
        picture[30:60, (3 * k) % 130 : (3 * k) % 130 + 30] = 255
        file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
    file.mux(stream.encode())
EOF
"$python" - <<'EOF'
import diffbgm

pipe = diffbgm.Pipeline.from_pretrained("diffbgm-lite")
music = pipe("clip.mp4", seed=0, form="AABA", guidance=2)
music.save("clip-music.mp4")
music.save("clip.mid")
assert len(music.notes) and music._repr_html_()
print(f"{len(music.notes)} notes at {music.tempo:g} BPM in {diffbgm.__file__}")
EOF
"$place/venv/bin/diffbgm" sample videos=clip.mp4 out=music
test -s music/clip.mid && test -s clip-music.mp4
echo "the wheel works on its own"
