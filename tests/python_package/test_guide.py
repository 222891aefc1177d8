"""The notebook of the guides: docs/notebook.md shows what docs/notebook.ipynb gives."""

import subprocess
import sys

from conftest import PACKAGE
from matplotlib.testing.compare import compare_images

ROOT = PACKAGE.parent


def test_the_page_shows_what_the_notebook_gives(desk):
    done = subprocess.run([sys.executable, str(ROOT / "scripts/notebook"), str(desk.folder)], env=desk.environment(),
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made, page = [folder / "notebook.md" for folder in (desk.folder, ROOT / "docs")]
    shown, given = [path.read_text(encoding="utf-8").splitlines() for path in (page, made)]
    assert given == shown, "if that is right, scripts/notebook makes the page again"
    picture = desk.folder / "expected.png"
    picture.write_bytes((ROOT / "docs/notebook.png").read_bytes())
    # Another curve differs by more, another way to draw letters by less.
    assert compare_images(str(picture), str(desk.folder / "notebook.png"), tol=4) is None
