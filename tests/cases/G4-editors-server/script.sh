set -e
library=$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
mkdir "$WORK/server"
tar -C "$library" -cz json email http urllib | tar -C "$WORK/server" -xz
setsid python3 "$CASE_DIR/server.py" "$WORK/port" > /dev/null 2>&1 < /dev/null &
server=$!
until [ -e "$WORK/port" ]; do sleep 0.1; done
python3 "$CASE_DIR/client.py" "$WORK/port"
kill $server
