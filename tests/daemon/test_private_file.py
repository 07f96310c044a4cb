import subprocess
import sys

from support.processes import environment

WRITE = r"""
import sys
from pathlib import Path
from daemon.private_file import write_private
write_private(Path(sys.argv[1]), "W\xfcrfel 21 \xb0C", replace=False)
"""


def test_text_is_utf8_whatever_the_locale(tmp_path):
    path = tmp_path / "notes"
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", WRITE, str(path)], env=environment() | locale, check=True)
    assert path.read_text("utf-8") == "Würfel 21 °C"
    assert path.stat().st_mode & 0o777 == 0o600
