"""A real HTTP server on the loopback that serves one file and misbehaves as it is told."""

import hashlib
import socket
import struct
import threading
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serve `content` under every path; each request takes the next of `plan`, or "serve" when it is used up.

    Plans: a status as a number; "serve"; "cut" (half the body, then the end); "reset" (half, then RST); "stall" (half,
    then nothing); "silence" (no answer); "unchunked end" (chunked, without the last chunk); "no length"; "endless";
    "gzip" (says it is); "redirect"; "redirect bomb" (with a gigabyte of gzipped zeros); "loop"; "to a file" (a
    redirect); "whole" (ignores Range); "splice" (a 206 of whatever the file is now, as if If-Range had not been sent);
    "splice unmarked" (the same without ETag); "elsewhere" (a 206 that starts at another byte); "short" (a 206 of ten
    bytes); "huge" (says it has 10^12 bytes); "slow" (32 KiB per 0.1 s); "held" (half, and the rest when `go` is set).
    """

    def __init__(self, content, plan=(), etag="strong"):
        self.content, self.plan, self.etag = content, list(plan), etag
        self.requests = []
        self.closing, self.go = threading.Event(), threading.Event()

    def __enter__(self):
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                owner.answer(self)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # a client that goes away is what is tested

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self.go.set()
        self.server.shutdown()
        self.thread.join(10)
        self.server.server_close()

    @property
    def ranges(self):
        """The first byte each request asked for, 0 if it asked for all."""
        return [int((headers["Range"] or "bytes=0-")[6:-1]) for headers in self.requests]

    def mark(self):
        text = f'"{hashlib.sha256(self.content).hexdigest()[:16]}"'
        return {"strong": text, "weak": f"W/{text}", "none": None}[self.etag]

    def answer(self, handler):
        handler.close_connection = True
        self.requests.append(handler.headers)
        plan = self.plan.pop(0) if self.plan else "serve"
        if plan == "silence":
            self.closing.wait(60)
        elif isinstance(plan, int):
            self.head(handler, plan, {"Content-Length": 0})
        elif plan == "to a file":
            self.head(handler, 302, {"Location": "file:///etc/hostname", "Content-Length": 0})
        elif plan == "redirect bomb":
            bomb = zlib.compress(bytes(1 << 20), 9, wbits=31) * 1024  # members of one gzip file
            self.head(handler, 302, {"Location": "/moved", "Content-Encoding": "gzip", "Content-Length": len(bomb)})
            handler.wfile.write(bomb)
        elif plan in ("redirect", "loop"):
            path = "/moved" if plan == "redirect" else handler.path
            self.plan[:0] = ["loop"] if plan == "loop" else []
            self.head(handler, 302, {"Location": path, "Content-Length": 0})
        elif plan in ("endless", "no length", "unchunked end"):
            self.without_length(handler, plan)
        else:
            self.body(handler, plan)

    def body(self, handler, plan):
        start, content, headers = 0, self.content, {"ETag": self.mark()}
        asked = handler.headers["Range"]
        same = handler.headers["If-Range"] == self.mark()
        if asked and plan != "whole" and (same or plan.startswith("splice")):
            start = int(asked[6:-1])
        if start > len(content):
            return self.head(handler, 416, {"Content-Length": 0})
        if start:
            first = start + (1 if plan == "elsewhere" else 0)
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        if plan == "splice unmarked":
            headers["ETag"] = None
        if plan == "gzip":
            headers["Content-Encoding"] = "gzip"
        content = content[start : start + 10] if plan == "short" else content[start:]
        headers["Content-Length"] = 10**12 if plan == "huge" else len(content)
        self.head(handler, 206 if start else 200, headers)
        half = len(content) // 2
        if plan in ("cut", "reset", "stall"):
            handler.wfile.write(content[:half])
            handler.wfile.flush()
            if plan == "stall":
                self.closing.wait(60)
            if plan == "reset":
                time.sleep(0.05)  # what was sent should arrive first
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                handler.connection.close()
        elif plan == "held":
            handler.wfile.write(content[:half])
            handler.wfile.flush()
            self.go.wait(60)
            handler.wfile.write(content[half:])
        elif plan == "slow":
            for at in range(0, len(content), 1 << 15):
                handler.wfile.write(content[at : at + (1 << 15)])
                if self.closing.wait(0.1):
                    return None
        else:
            handler.wfile.write(content)
        return None

    def without_length(self, handler, plan):
        if plan == "unchunked end":
            self.head(handler, 200, {"Transfer-Encoding": "chunked", "ETag": self.mark()})
            half = self.content[: len(self.content) // 2]
            handler.wfile.write(f"{len(half):x}\r\n".encode() + half + b"\r\n")
            return
        self.head(handler, 200, {})
        handler.wfile.write(self.content)
        for _ in range(2000 if plan == "endless" else 0):
            handler.wfile.write(bytes(1 << 16))

    @staticmethod
    def head(handler, status, headers):
        handler.send_response(status)
        for name, value in headers.items():
            if value is not None:
                handler.send_header(name, str(value))
        handler.send_header("Connection", "close")
        handler.end_headers()
