"""An HTTP server on the port that it is told, by the standard library alone."""

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMES = ["PORT", "TCP_PORT", "CORUS_PROCESS_PORT_HTTP", "PM2_INSTANCE_ID", "NODE_APP_INSTANCE", "GREETING"]


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        lines = [f"{name}={os.environ.get(name, '')}" for name in NAMES]
        lines += [f"arguments={' '.join(sys.argv[1:])}", f"pid={os.getpid()}", ""]
        body = "\n".join(lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def main():
    port = os.environ.get("PORT", "")
    if not port.isdigit():
        sys.exit("no port: start it with berth run -port http -- python3 server.py")
    with ThreadingHTTPServer(("127.0.0.1", int(port)), Page) as server:
        print(f"listening on 127.0.0.1:{port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
