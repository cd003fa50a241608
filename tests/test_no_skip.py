"""The switch of `.ci/run`: where nothing may be skipped, a skip fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SKIPPING = {
    "mark": "import pytest\n@pytest.mark.skip(reason='why not')\ndef test_a(): pass\n",
    "call": "import pytest\ndef test_a(): pytest.skip('why not')\n",
    "module": "import pytest\npytest.skip('why not', allow_module_level=True)\n",
    "xfail": "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_a(): assert False\n",
}


@pytest.mark.parametrize(("kind", "switch", "fails"), [
    ("mark", "1", True), ("call", "1", True), ("module", "1", True), ("xfail", "1", False), ("call", "", False),
])  # fmt: skip
def test_a_skip_fails_only_where_none_is_allowed(tmp_path: Path, kind: str, switch: str, fails: bool) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(SKIPPING[kind])
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "TEST_NO_SKIP": switch},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("allows none: " in result.stdout) == fails, result.stdout
    # 5: a module that was skipped whole leaves pytest without a test.
    assert (result.returncode not in (0, 5)) == fails, result.stdout
