set -e
printf '#!/bin/sh\nhead -c 4 "%s" > "%s/out"; : > "%s/done"\n' "$K" "$WORK" "$WORK" > /usr/local/bin/case-d8
chmod 755 /usr/local/bin/case-d8
printf '[D-BUS Service]\nName=org.example.CaseD8\nExec=/usr/local/bin/case-d8\nUser=root\n' > /usr/share/dbus-1/system-services/org.example.CaseD8.service
printf '<busconfig><policy context="default"><allow send_destination="org.example.CaseD8"/></policy></busconfig>\n' > /etc/dbus-1/system.d/case-d8.conf
busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus ReloadConfig
