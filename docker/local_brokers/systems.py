"""Where a broker's programs come from: this machine, or a root file system with the newer ones of Debian trixie.

The second is made by `debootstrap`, which takes about a minute, and kept. A server in it is a process like every other:
a mount namespace of its own shows it the directory it works in, and is gone with it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local_brokers.process import BrokerError, run, say

SUITE = "trixie"
PACKAGES = ("redis-server", "valkey-server", "rabbitmq-server")
_NEEDED_TO_MAKE_IT = ("debootstrap", "gpgv", "openssl")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_MIRROR = "http://deb.debian.org/debian"
_PRIVATE_MOUNTS = ("unshare", "--mount", "--propagation", "private")
# The shell becomes `chroot`, and `chroot` the server, so that the pid of the first is that of the last.
_ENTER = """\
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
root=$1 directory=$2; shift 2
mkdir -p "$root$directory" &&
mount --rbind /proc "$root/proc" &&
mount --bind "$directory" "$root$directory" &&
exec chroot "$root" "$@"
"""


@dataclass(frozen=True)
class Machine:
    """This machine, with what its packages hold."""

    root: Path = Path("/")

    def command(self, command: Sequence[str], _directory: Path) -> list[str]:
        """Say what to start so that the command runs."""
        return list(command)


@dataclass(frozen=True)
class RootFileSystem:
    """A root file system of Debian with the three brokers in it, under a directory of its own."""

    root: Path

    def command(self, command: Sequence[str], directory: Path) -> list[str]:
        """Say what to start so that the command runs in it, where it sees this directory at its own path."""
        return [*_PRIVATE_MOUNTS, "sh", "-c", _ENTER, "sh", str(self.root), str(directory), *command]

    def ensure(self) -> None:
        """Make it, if it is not there. It appears whole or not at all.

        Raises:
            BrokerError: it cannot be made here; with what is missing.
        """
        if self.root.exists():
            return
        self.root.parent.mkdir(parents=True, exist_ok=True)
        say(f"making a root file system of Debian {SUITE} with {', '.join(PACKAGES)}; this takes about a minute")
        with tempfile.TemporaryDirectory(dir=self.root.parent, prefix="making-") as making:
            # What debootstrap mounts, and whatever a package might start, ends with the namespaces it is in.
            run(
                [
                    *(*_PRIVATE_MOUNTS, "--pid", "--fork", "--kill-child", "debootstrap", "--variant=minbase"),
                    *(f"--keyring={_KEYRING}", "--force-check-gpg", f"--include={','.join(PACKAGES)}"),
                    *(SUITE, f"{making}/root", _mirror()),
                ],
                what=f"making a root file system of Debian {SUITE}",
                environment={**_proxies(), **os.environ},
            )
            shutil.rmtree(f"{making}/root/var/cache/apt/archives", ignore_errors=True)
            # Somebody else may have been quicker; what they made is the same.
            with contextlib.suppress(OSError):
                Path(making, "root").rename(self.root)


THIS_MACHINE = Machine()
System = Machine | RootFileSystem


def root_file_system_in(home: Path) -> RootFileSystem:
    """Name the root file system below this directory; another list of packages gives another name."""
    content = hashlib.sha256(" ".join((SUITE, *PACKAGES)).encode()).hexdigest()[:12]
    return RootFileSystem(home / f"{SUITE}-{content}")


def packages_missing_to_make_one() -> list[tuple[str, ...]]:
    """List the packages that this machine lacks for making a root file system and for entering it.

    Raises:
        BrokerError: we are not root, who alone may do either.
    """
    if os.geteuid() != 0:
        raise BrokerError(
            f"Redis 8, Valkey and RabbitMQ 4 run in a root file system of Debian {SUITE}, which only root can make and "
            "enter; try again as root, or with a Docker engine, or name servers of your own by PENSTOCK_TEST_REDIS_8, "
            "PENSTOCK_TEST_VALKEY and PENSTOCK_TEST_RABBITMQ_4"
        )
    missing: list[tuple[str, ...]] = [(name,) for name in _NEEDED_TO_MAKE_IT if shutil.which(name) is None]
    return missing if _KEYRING.exists() else [*missing, ("debian-archive-keyring",)]


def _mirror() -> str:
    """Name the mirror of Debian that this machine installs from."""
    if shutil.which("apt-get") is None:
        return _MIRROR
    sources = run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)", "Created-By: Packages"],
        what="apt-get indextargets",
    )
    found = (line.rpartition(" ") for line in sources.splitlines())
    return next((uri for whose, _, uri in found if whose == "Debian Debian" and uri.startswith("http")), _MIRROR)


def _proxies() -> dict[str, str]:
    """Say by which proxies this machine's apt reaches its mirror, as environment variables."""
    if shutil.which("apt-config") is None:
        return {}
    names = [("http_proxy", "Acquire::http::Proxy"), ("https_proxy", "Acquire::https::Proxy")]
    answers = run(["apt-config", "shell", *(part for pair in names for part in pair)], what="apt-config")
    return {name: value.strip("'") for name, _, value in (line.partition("=") for line in answers.splitlines())}
