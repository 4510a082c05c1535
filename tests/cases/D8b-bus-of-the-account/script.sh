set -e
export XDG_RUNTIME_DIR=/run/user/$(id -u)
mkdir -p ~/.local/share/dbus-1/services
printf '#!/bin/sh\nhead -c 4 "%s" > "%s/out"; : > "%s/done"\n' "$K" "$WORK" "$WORK" > service
chmod 755 service
printf '[D-BUS Service]\nName=org.example.CaseD8b\nExec=%s/service\n' "$WORK" > ~/.local/share/dbus-1/services/org.example.CaseD8b.service
busctl --user call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus ReloadConfig
busctl --user --timeout=20 call org.example.CaseD8b /org/example/CaseD8b org.freedesktop.DBus.Peer Ping > /dev/null 2>&1 || true
until [ -e done ]; do sleep 0.1; done
rm ~/.local/share/dbus-1/services/org.example.CaseD8b.service
