"""`impasto studio` and `impasto serve`: a server that paints, with a page in the browser or without."""

import contextlib
import os
import secrets
import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from impasto.cli.checks import whole
from impasto.cli.console import out
from impasto.cli.flags import Flags, Switch, typed_name
from impasto.cli.run import Interrupted
from impasto.cli.samples import Name, sample
from impasto.cli.settings_sources import gather
from impasto.errors import ExitCode, InputError
from impasto.messages import printable
from impasto.system.app_dirs import data_folder
from impasto.system.files import read_whole

TOKEN = "IMPASTO_TOKEN"  # the variable with the bearer token
SHORTEST, LONGEST = 16, 1000  # characters of a token
SAMPLES: tuple[tuple[str, Name, str, str], ...] = (
    ("photo", "photo", "A cup of coffee", "Rachel Michetti, CC0"),
    ("painting", "starry_night", "The Starry Night", "Vincent van Gogh, 1889, public domain"),
    ("painting", "the_scream", "The Scream", "Edvard Munch, 1893, public domain"),
    ("painting", "swirl", "Swirl", "made for impasto, CC0"),
    ("painting", "ember", "Ember", "made for impasto, CC0"),
)

Text = Annotated[str | None, Parameter(converter=typed_name, show_default=False)]
Number = Annotated[int | None, Parameter(converter=typed_name, show_default=False)]


def studio(
    *,
    port: Number = None,
    host: Text = None,
    data: Text = None,
    token_file: Text = None,
    no_browser: Switch = False,
) -> int:
    """Open the studio: a page in the browser where photos are painted.

    It is for this machine alone. Pictures and settings stay in its data folder. A second start opens the
    running one.

    Args:
        port: Port; 0 takes any. [0 to 65535; default: 8765, or the next one that is free]
        host: Address to listen on, for other machines; needs a token. [default: 127.0.0.1]
        data: Folder where jobs and pictures are kept. [default: studio in the platform's folder for data]
        token_file: File with the token that programs show. [default: IMPASTO_TOKEN, or none]
        no_browser: Open no browser; the address is printed. [default: no]
    """
    return _serve(port, host, data, token_file, page=True, browser=not no_browser)


def serve(*, port: Number = None, host: Text = None, data: Text = None, token_file: Text = None) -> int:
    """Serve programs by HTTP, as the studio does, without its page.

    Args:
        port: Port; 0 takes any. [0 to 65535; default: 8765, or the next one that is free]
        host: Address to listen on, for other machines; needs a token. [default: 127.0.0.1]
        data: Folder where jobs and pictures are kept. [default: studio in the platform's folder for data]
        token_file: File with the token that programs show. [default: IMPASTO_TOKEN, or a new one, printed]
    """
    return _serve(port, host, data, token_file, page=False, browser=False)


def _serve(
    port: int | None, host: str | None, data: str | None, token_file: str | None, *, page: bool, browser: bool
) -> int:
    token, made = _token(token_file), ""
    host = host or "127.0.0.1"
    resolved = gather(Flags())
    if resolved.runtime.budget is not None:
        raise InputError("IMPASTO_BUDGET is for a single picture; here settings say how long each takes")
    fixed = None if port is None else whole("--port", str(port), 0, 65_535)
    from impasto.studio import serve as server
    from impasto.studio.files import Files
    from impasto.studio.security import LOCAL, Access
    from impasto.studio.service import Options

    if host not in LOCAL and token is None:
        raise InputError(
            f"--host {printable(host)} lets other machines in and needs a token: --token-file FILE or {TOKEN}"
        )
    if not page and token is None:
        token = made = secrets.token_urlsafe(24)
    files = Files(Path(data).absolute() if data else data_folder() / "studio")
    with server.alone(files) as mine:
        if not mine:
            found = server.running(files)
            out(f"the studio runs already: {found.address}")
            _open(found.address, browser=browser and found.page)
            return ExitCode.DONE
        number = server.PORT if fixed is None else fixed
        listening = server.listen(host, number, only=fixed is not None)
        if fixed is None and listening.getsockname()[1] != server.PORT:
            out(f"port {server.PORT} is taken; this is the next one that is free")
        samples = [(role, title, credit, sample(name)) for role, name, title, credit in SAMPLES]
        access = Access(files.identity(), token, host, page)
        options = Options(files.root, input=resolved.input, runtime=resolved.runtime, samples=samples)

        def started(address: str) -> None:
            if host not in LOCAL:
                out(f"CAREFUL: other machines reach this server at {host}, without encryption")
            if made:
                out(f"token, shown only now: {made}")
            if page:
                address = f"{address}/?token={access.new_token()}"
            out(f"impasto {'studio' if page else 'serve'}: {address}")
            out("Ctrl-C ends it; what is painted continues at the next start")
            _open(address, browser=browser)

        with contextlib.suppress(Interrupted):  # the signal that ended it
            server.serve(options, access, listening, started)
    return ExitCode.DONE


def _token(path: str | None) -> str | None:
    """Return the token in a file or in the environment; None without one."""
    text = os.environ.get(TOKEN, "")
    if path is not None:
        try:
            text = read_whole(path, LONGEST, "a token").decode()
        except UnicodeDecodeError as error:
            raise InputError(f"{printable(path)}: a token is text; give another file") from error
    text = text.strip()
    if not text and path is None:
        return None
    if len(text) < SHORTEST or not text.isascii() or set(text) & set(" \t\r\n"):
        where = printable(path) if path is not None else TOKEN
        raise InputError(f"{where}: a token has {SHORTEST} characters or more, without spaces")
    return text


def _open(address: str, *, browser: bool) -> None:
    """Open a browser, if there is a display for one; the address is printed anyway."""
    if browser and (os.name != "posix" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
                    or os.uname().sysname == "Darwin"):  # fmt: skip
        with contextlib.suppress(webbrowser.Error, OSError):
            webbrowser.open(address)
