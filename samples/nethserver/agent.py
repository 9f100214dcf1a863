"""Ports for modules, leased from a Berth daemon.

The calls are those of the NethServer 8 agent library:

    import agent

    start, end = agent.allocate_ports(4, "tcp")
    agent.allocate_ports(4, "udp", "my_module", keep_existing=True)
    ranges = agent.deallocate_ports("tcp")

Whose the ports are is the module_id, or else the environment variable
MODULE_ID. They are leased until they are deallocated, whatever becomes of the
process that asked for them, of the daemon or of the machine's power.

The daemon is asked on its unix socket: BERTH_SOCKET, or berth.sock in
BERTH_HOME, or where a daemon without these has it. With BERTH_URL it is asked
over TLS, with the token of BERTH_TOKEN or of the file BERTH_TOKEN_FILE;
BERTH_CA names a file with the certificate that it is known by, where that is not
one of the system's.

The ports come from the ranges nethserver-tcp and nethserver-udp, or those that
BERTH_TCP_RANGE and BERTH_UDP_RANGE name.

Only the standard library is used; Python 3.8 or later.
"""

import errno
import http.client
import itertools
import json
import os
import secrets
import socket
import ssl
import stat
import time
import urllib.parse

__all__ = [
    "allocate_ports",
    "deallocate_ports",
    "PortError",
    "InvalidRequestError",
    "NoRangeError",
    "RangeFullError",
    "DemandError",
    "NotAllowedError",
    "DaemonError",
]


class PortError(Exception):
    """Ports were not allocated or deallocated; what there was stays as it is.

    code is the daemon's word for why, as range-full, or empty.
    """

    def __init__(self, message, code=""):
        super().__init__(message)
        self.code = code


class InvalidRequestError(PortError, ValueError):
    """The arguments, or the settings, are not well formed."""


class NoRangeError(PortError):
    """The range that the ports should come from is not there."""


class RangeFullError(PortError):
    """The range has not so many ports in a row that are available."""


class DemandError(PortError):
    """The module would have more ports than its demand, or its quota, allows."""


class NotAllowedError(PortError):
    """The caller may not allocate ports, or not for this module."""


class DaemonError(PortError):
    """The daemon does not answer, or cannot do it now. It may have been done."""


class _Later(PortError):
    """The daemon is about to end, or has too much to do."""


def allocate_ports(ports_number, protocol, module_id="", keep_existing=False):
    """Lease ports_number ports in a row and return (start, end), both inclusive.

    protocol is "tcp" or "udp". What the module had of it is given up in the same
    instant, unless keep_existing is true. If the ports cannot be had, it keeps
    what it had and a PortError says why.
    """
    if isinstance(ports_number, bool) or not isinstance(ports_number, int) or ports_number < 1:
        raise InvalidRequestError(
            "the number of ports is %r, and has to be an integer of at least 1" % (ports_number,))
    protocol, module_id = _protocol(protocol), _module(module_id)
    range_name = _range(protocol)
    leases = _call("POST", "/v1/leases", body={
        "ports": [{"range": range_name, "protocol": protocol, "count": ports_number}],
        "holder": {"kind": "manual", "name": module_id},
        "owner": module_id,
        "keep": bool(keep_existing),
    })
    ports = [lease["port"] for lease in leases]
    return min(ports), max(ports)


def deallocate_ports(protocol, module_id=""):
    """Release what the module has of a protocol, all of it or nothing.

    Returns what was given up as a list of (start, end), both inclusive, in the
    order of the ports: one for each allocation. It is empty if there was nothing.
    """
    protocol, module_id = _protocol(protocol), _module(module_id)
    return _blocks(_call("DELETE", "/v1/leases", query={
        "owner": module_id, "range": _range(protocol), "protocol": protocol,
    }))


def _blocks(leases):
    """The allocations that leases were made by: ports in a row, of one instant."""
    leases = sorted(leases, key=lambda lease: lease["port"])
    blocks = itertools.groupby(
        enumerate(leases), key=lambda at: (at[1]["port"] - at[0], at[1]["since"]))
    result = []
    for _, block in blocks:
        ports = [lease["port"] for _, lease in block]
        result.append((ports[0], ports[-1]))
    return result


def _protocol(protocol):
    if protocol not in ("tcp", "udp"):
        raise InvalidRequestError("the protocol is %r, and has to be 'tcp' or 'udp'" % (protocol,))
    return protocol


def _module(module_id):
    module_id = module_id or os.environ.get("MODULE_ID", "")
    if not isinstance(module_id, str) or not module_id:
        raise InvalidRequestError("no module_id is given, and MODULE_ID is not set")
    if not module_id.isprintable():
        raise InvalidRequestError("the module_id %a has characters that cannot be printed" % module_id)
    return module_id


def _range(protocol):
    return os.environ.get("BERTH_%s_RANGE" % protocol.upper()) or "nethserver-" + protocol


# A request carries an idempotency key, and is sent again with it where the
# connection is lost: also a daemon that was started anew knows what it led to.
_TRIES = 5
_PAUSE = 0.05  # seconds before the second time; twice as long each time

_KINDS = {
    "invalid": InvalidRequestError,
    "range-not-found": NoRangeError,
    "range-full": RangeFullError,
    "quota-exceeded": DemandError,
    "unauthenticated": NotAllowedError,
    "forbidden": NotAllowedError,
}


def _call(method, path, body=None, query=None):
    if query:
        path += "?" + urllib.parse.urlencode(query)
    headers = {"Accept": "application/json", "Idempotency-Key": '"%s"' % secrets.token_urlsafe(24)}
    text = None
    if body is not None:
        text = json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    token = _token()
    if token:
        headers["Authorization"] = "Bearer " + token
    for attempt in itertools.count(1):
        connection, where = _connection()
        try:
            connection.request(method, path, body=text, headers=headers)
            answer = connection.getresponse()
            return _read(answer.status, answer.reason, answer.read())
        except _Later as err:
            if attempt == _TRIES:
                raise DaemonError(str(err), err.code) from None
        except ssl.SSLError as err:
            raise DaemonError("the daemon at %s is not trusted: %s; BERTH_CA names its certificate" % (where, err)) from err
        except PermissionError as err:
            raise NotAllowedError("this user may not use %s: %s" % (where, err)) from err
        except (OSError, http.client.HTTPException) as err:
            if attempt == _TRIES:
                raise DaemonError(_unanswered(where, err)) from err
        finally:
            connection.close()
        time.sleep(_PAUSE * 2 ** (attempt - 1))


def _unanswered(where, err):
    if isinstance(err, FileNotFoundError) or getattr(err, "errno", 0) == errno.ECONNREFUSED:
        return "no daemon answers on %s: start it with berth serve, or say where it is with BERTH_SOCKET, BERTH_HOME or BERTH_URL" % where
    return "the connection to the daemon on %s was lost, and it is not known whether the work was done: %s" % (where, err)


def _read(status, reason, text):
    try:
        answer = json.loads(text or b"null")
    except ValueError:
        raise DaemonError("the answer %d %s is not the daemon's" % (status, reason))
    if 200 <= status < 300:
        return answer
    problem = answer if isinstance(answer, dict) else {}
    code = problem.get("code", "")
    if code in ("stopping", "busy"):
        raise _Later(problem.get("detail", code), code)
    kind = _KINDS.get(code)
    if kind is None:
        kind = DaemonError if status >= 500 else NotAllowedError if status in (401, 403) else PortError
    message = problem.get("detail") or "%d %s" % (status, reason)
    if kind is NoRangeError:
        message += "; an administrator makes it with berth port add"
    raise kind(message, code)


def _token():
    token = os.environ.get("BERTH_TOKEN", "")
    path = os.environ.get("BERTH_TOKEN_FILE", "")
    if not token and path:
        try:
            with open(path, encoding="utf-8") as file:
                token = file.read()
        except OSError as err:
            raise InvalidRequestError("BERTH_TOKEN_FILE: %s" % err) from err
    token = token.strip()
    if not token.isprintable() or not token.isascii():
        raise InvalidRequestError("the token has characters that are in none")
    return token


def _connection():
    """A connection that is not open yet, and where it leads."""
    url = os.environ.get("BERTH_URL", "")
    if not url:
        path = _socket_path()
        return _UnixConnection(path), path
    parts = urllib.parse.urlsplit(url)
    try:
        port = parts.port
    except ValueError as err:
        raise InvalidRequestError("BERTH_URL: %s" % err) from err
    if parts.scheme != "https" or not parts.hostname or parts.path not in ("", "/"):
        raise InvalidRequestError("BERTH_URL is %r, and has to be https://HOST:PORT" % url)
    try:
        context = ssl.create_default_context(cafile=os.environ.get("BERTH_CA") or None)
    except OSError as err:
        raise InvalidRequestError("BERTH_CA: %s" % err) from err
    return http.client.HTTPSConnection(parts.hostname, port, timeout=_TIMEOUT, context=context), url


# The daemon answers at once; where many ports are in use it looks at them first.
_TIMEOUT = 60


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path):
        super().__init__("berth", timeout=_TIMEOUT)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _socket_path():
    """Where the daemon of this user has its socket, as the berth command finds it."""
    if os.environ.get("BERTH_SOCKET"):
        return os.path.abspath(os.environ["BERTH_SOCKET"])
    if os.environ.get("BERTH_HOME"):
        return os.path.join(os.path.abspath(os.environ["BERTH_HOME"]), "berth.sock")
    uid = os.geteuid()
    if uid == 0:
        return "/run/berth/berth.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and _is_own_folder(runtime, uid):
        return os.path.join(runtime, "berth", "berth.sock")
    folder = "/tmp/berth-%d" % uid
    # Anybody can make a folder of that name first.
    if os.path.lexists(folder) and (
            os.path.islink(folder) or not _is_own_folder(folder, uid) or os.stat(folder).st_mode & 0o077):
        raise DaemonError("%s is not a folder of this user alone: set BERTH_SOCKET" % folder)
    return os.path.join(folder, "berth.sock")


def _is_own_folder(path, uid):
    try:
        info = os.stat(path)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == uid
