set -e
busctl --timeout=20 call org.example.CaseD8 /org/example/CaseD8 org.freedesktop.DBus.Peer Ping > /dev/null 2>&1 || true
until [ -e done ]; do sleep 0.1; done
