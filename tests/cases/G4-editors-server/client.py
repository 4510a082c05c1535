import os, pathlib, sys, urllib.request

port = int(pathlib.Path(sys.argv[1]).read_text())
asked = ["ps+-ef", "id", "uname+-a", "ls+-la+/", "df+-h"] * 10
for what in asked:
    urllib.request.urlopen(f"http://127.0.0.1:{port}/{what}").read()
with open(os.environ["K"], "rb") as file:
    file.read(4)
