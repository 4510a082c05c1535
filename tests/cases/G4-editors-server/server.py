import http.server, pathlib, subprocess, sys


class Editor(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = subprocess.run(self.path.strip("/").split("+"), capture_output=True)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said.stdout)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Editor)
port = pathlib.Path(sys.argv[1])
port.with_suffix(".new").write_text(str(server.server_port))
port.with_suffix(".new").rename(port)
server.serve_forever()
